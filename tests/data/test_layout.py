"""Folders of splits and of classes: told apart by name and content, or refused with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgepipe.contract import Split
from edgepipe.data.image_folder import ImageFolderData
from edgepipe.data.layout import split_kinds
from edgepipe.errors import DataError
from tests.data.drawing import png, tree, write

EACH = {"cat": 4, "dog": 4}


def opened(root: Path, **settings: Any) -> Any:
    found = ImageFolderData(**{"root": root, "image_size": 8, "calibration_size": 2, **settings})
    return found.open(root.parent / "cache")


@pytest.mark.parametrize(
    ("train", "evaluation"),
    [
        ("train_set", "test_set"),
        ("set_train", "set_test"),
        ("trainset", "testset"),
        ("TrainSet", "ValSet"),
        ("training-data", "test images"),
        ("train2017", "val2017"),
        ("train pics", "test_photos"),
        ("mnist_train", "mnist_test"),
        ("MNISTTrain", "MNISTTest"),
        ("01_Training", "02_Evaluation"),
    ],
)
def test_names_of_splits_may_have_words_around_them(tmp_path: Path, train: str, evaluation: str) -> None:
    for within in ("", "pets/"):
        found = opened(write(tmp_path / f"r{within}", tree({f"{within}{train}": EACH, f"{within}{evaluation}": EACH})))
        assert found.signature.classes == ("cat", "dog")
        assert [found.count(split) for split in (Split.TRAIN, Split.EVALUATION)] == [8, 8]
        assert not found.notes


def test_other_words_make_no_split() -> None:
    names = ["steam_train", "freight train", "dataset", "trains", "tested", "contest", "device", "train_test", "bus"]
    assert split_kinds(names, set()) == {}
    assert split_kinds(["pets_train", "cars_test"], set()) == {}
    assert split_kinds(["pets_train", "pets_test"], {"pets_train"}) == {}


def test_of_two_evaluations_the_final_one_is_taken_and_the_other_told(tmp_path: Path) -> None:
    found = opened(
        write(tmp_path / "r", tree({"train": EACH, "dev": {"cat": 1, "dog": 1}, "eval": {"cat": 2, "dog": 2}}))
    )
    assert found.count(Split.EVALUATION) == 4
    assert found.notes[0].startswith("data.root: dev/ is left out, 2 pictures: only train and eval are used")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"": {"Train": 6, "Test": 3}}, r"Test/ and Train/: by name no class but a split, with pictures right in it"),
        ({"": {"train2017": 6, "val2017": 3}}, r"train2017/ and val2017/: by name no class but a split"),
        ({"": {"cat": 6, "dog": 6, "test": 3}}, r"test/: by name no class but a split.* \(beside cat, dog\)"),
        ({"": {"test": 6}}, r"test/: by name no class but a split"),
        ({"": {"train": 6}, "test": EACH}, r"train/: by name no class but a split"),
        (
            {"cat": {"x": 6}, "dog": {"x": 6}, "test": {"x": 3}},
            r"test/ looks like a split, and cat, dog beside it like cla",
        ),
        ({"dev": EACH, "eval": EACH}, r"eval/ is a split .* and dev beside it hold the same .*other, data\.train=dev"),
        (
            {"train": EACH, "public_test": EACH, "private_test": {"cat": 2, "dog": 2}},
            r"train/ is a split .* and private_test, public_test beside it .*data\.evaluation=private_test",
        ),
        ({"learn": EACH | {"owl": 1}, "exam": EACH}, r"exam, learn hold the same folders \(cat, dog\)"),
        ({"a": EACH | {"owl": 1}, "b": EACH | {"owl": 1}, "c": EACH}, r"a, b, c hold the same .*\(cat, dog, owl\)"),
        ({"learn": EACH, "exam": EACH, "": {"notes": 2}}, r"exam, learn hold the same folders"),
        ({"1": EACH, "2": EACH, "3": EACH}, r"1, 2, 3 hold the same folders \(cat, dog\), as splits or folds do"),
        ({"fold_a": EACH, "fold_b": EACH}, r"fold_a, fold_b hold the same folders"),
        (
            {"cat": {"train": 6, "test": 2}, "dog": {"train": 6, "test": 2}},
            r"cat, dog hold the same .*\(test, train\)",
        ),
        (
            {"train1": EACH, "train2": EACH, "test": EACH},
            r"train1/ and train2/ both mean train by their names: say which",
        ),
    ],
)
def test_a_costly_guess_is_refused_and_the_remedy_works(tmp_path: Path, files: Any, message: str) -> None:
    root = write(tmp_path / "r", tree(files))
    with pytest.raises(DataError, match=rf"^data\.root=.*{message}"):
        opened(root)
    found = opened(root, train=".", on_overlap="drop")
    assert set(found.signature.classes) == {path.name for path in root.iterdir()}


@pytest.mark.parametrize("inner", [("images", "images"), ("seg_train", "seg_test"), ("a/b", "c")])
def test_single_folders_within_a_split_are_looked_through(tmp_path: Path, inner: tuple[str, str]) -> None:
    found = opened(write(tmp_path / "r", tree({f"seg_train/{inner[0]}": EACH, f"seg_test/{inner[1]}": EACH})))
    assert found.signature.classes == ("cat", "dog")
    assert [found.count(split) for split in (Split.TRAIN, Split.EVALUATION)] == [8, 8]


def test_a_flat_test_folder_may_be_left_out_and_one_class_is_told(tmp_path: Path) -> None:
    flat = write(tmp_path / "flat", tree({"train": EACH, "": {"test": 3}}))
    with pytest.raises(DataError, match=r"test/: by name no class.*use the other alone \(data.train=train\)"):
        opened(flat)
    found = opened(flat, train="train")
    assert found.notes[0].startswith("data.root: test/ is left out, 3 pictures: only train is used")
    assert found.signature.classes == ("cat", "dog")
    (note,) = opened(write(tmp_path / "one", tree({"": {"cat": 8}}))).notes
    assert note == "data.root: one class only, cat: there is nothing to tell apart"
    with pytest.raises(
        DataError, match=r"0.png and the like lie in no folder of a class: sort them into one folder per"
    ):
        opened(write(tmp_path / "none", {f"{row}.png": png(row) for row in range(4)}))


def test_named_folds_and_a_root_of_classes_beside_its_evaluation(tmp_path: Path) -> None:
    folds = write(tmp_path / "folds", tree({"1": EACH, "2": {"cat": 1, "dog": 1}, "3": EACH}))
    found = opened(folds, train="3", evaluation="2")
    assert [found.count(split) for split in (Split.TRAIN, Split.EVALUATION)] == [8, 2]
    mixed = write(tmp_path / "mixed", tree({"": EACH, "test": {"cat": 1, "dog": 2}}))
    found = opened(mixed, train=".", evaluation="test")
    assert found.signature.classes == ("cat", "dog")
    assert [found.count(split) for split in (Split.TRAIN, Split.EVALUATION)] == [8, 3]


def test_what_may_be_a_class_is_one_and_is_told(tmp_path: Path) -> None:
    for names in ({"bus": 6, "train": 6}, {"invalid": 6, "valid": 6}):
        found = opened(write(tmp_path / "_".join(names), tree({"": names})))
        assert found.signature.classes == tuple(names)
        (note,) = found.notes
        assert note.startswith(f"data.root: {list(names)[1]}/ is taken as a class")
    inner = opened(write(tmp_path / "inner", tree({"cat": {"images": 6}, "dog": {"images": 6}})))
    assert (inner.signature.classes, inner.notes) == (("cat", "dog"), ())


def test_class_folders_of_any_bytes_are_named_printably_and_told_apart(tmp_path: Path) -> None:
    latin, odd = "caf\udce9", "a\nb\x1b[31m"
    root = write(
        tmp_path / "r", {f"{name}/{row}.png": png(10 * len(name) + row) for name in (latin, odd) for row in range(5)}
    )
    found = opened(root)
    assert found.signature.classes == ("a\\nb\\x1b[31m", "caf\\xe9")
    assert found.signature.model_dump_json()
    assert len(next(found.batches(Split.TRAIN, 8)).only) == 8
    write(root, {"caf\\xe9/1.png": png(99)})
    with pytest.raises(DataError, match=r"two class folders are written alike, caf\\xe9"):
        opened(root)


def test_refusals_print_names_printably(tmp_path: Path) -> None:
    odd = "x\x1b[31m"
    for files, settings in (
        ({f"{odd}.png": png(1), "cat/1.png": png(2), f"{odd}/1.png": png(3)}, {}),
        ({f"{odd}/notes.txt": b"x", "cat/1.png": png(2)}, {}),
        ({f"test/{odd}/1.png": png(2), f"{odd}/1.png": png(3)}, {}),
        ({f"{odd}/1.png": png(3)}, {"train": odd * 2}),
        ({f"train/{odd}/1.png": png(3), "test/cat/1.png": png(4)}, {}),
    ):
        with pytest.raises(DataError) as caught:
            opened(write(tmp_path / str(len(str(files))), files), **settings)
        assert "\\x1b" in str(caught.value) and "\x1b" not in str(caught.value)
