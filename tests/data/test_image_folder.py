from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepipe.contract import Split
from edgepipe.data import listing
from edgepipe.data.image_folder import ImageFolderData
from edgepipe.errors import DataError
from tests.data.drawing import pack, png, tree, write

SHARED = Path(__file__).parents[3] / "shared" / "data" / "cifar10.zip"
SPLIT = {"train": {"cat": 4, "dog": 4}, "test": {"cat": 2, "dog": 2}}


def folder(root: Path, **settings: Any) -> ImageFolderData:
    return ImageFolderData(**{"root": root, "image_size": 8, "calibration_size": 2, **settings})


def test_folder_and_zip_and_wrapped_zip_give_the_same_digests(tmp_path: Path) -> None:
    files = tree(SPLIT)
    roots = (
        write(tmp_path / "plain", files),
        pack(tmp_path / "a.zip", files),
        pack(tmp_path / "b.zip", {f"pets/{name}": content for name, content in files.items()}),
    )
    sources = [folder(root).open(tmp_path / "cache") for root in roots]
    for split, count in zip(Split, (8, 2, 4), strict=True):
        assert {source.count(split) for source in sources} == {count}
        assert len({source.digest(split) for source in sources}) == 1
    assert sources[2].signature.classes == ("cat", "dog")


@pytest.mark.parametrize("name", ["test", "val", "valid", "validation"])
def test_evaluation_folder_is_found_by_its_usual_names(tmp_path: Path, name: str) -> None:
    root = write(tmp_path / "r", tree({"train": {"a": 3, "b": 3}, name: {"a": 1, "b": 1}, "extra": {"c": 1}}))
    assert folder(root).open(tmp_path).count(Split.EVALUATION) == 2


def test_folders_can_be_named(tmp_path: Path) -> None:
    root = write(tmp_path / "r", tree({"learn": {"a": 3}, "exam": {"a": 2}, "test": {"a": 1}}))
    source = folder(root, train="learn", evaluation="exam").open(tmp_path)
    assert [source.count(split) for split in Split] == [3, 2, 2]
    with pytest.raises(DataError, match=r"data\.train=lern: no such folder.* exam, learn, test"):
        folder(root, train="lern").open(tmp_path)


def test_plain_class_folders_are_split_by_share_and_seed(tmp_path: Path) -> None:
    root = write(tmp_path / "r", tree({"": {"bus": 20, "train": 10}}))  # a class named `train` is a class
    source = folder(root, evaluation_share=0.3).open(tmp_path)
    assert source.signature.classes == ("bus", "train")
    assert [source.count(split) for split in Split] == [21, 2, 9]
    labels = source.labels(Split.EVALUATION)
    assert labels is not None and np.bincount(labels).tolist() == [6, 3]
    other = folder(root, evaluation_share=0.3, seed=1).open(tmp_path)
    assert other.digest(Split.EVALUATION) != source.digest(Split.EVALUATION)


def test_copies_of_a_picture_stay_on_one_side_of_the_split(tmp_path: Path) -> None:
    files = tree({"": {"a": 10, "b": 10}})
    files |= {name.replace("0", "copy", 1): content for name, content in files.items()}
    source = folder(write(tmp_path / "r", files), evaluation_share=0.5).open(tmp_path)
    assert source.count(Split.TRAIN) + source.count(Split.EVALUATION) == 40


def test_evaluation_size_draws_evenly_and_too_many_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "r", tree({"train": {"a": 2, "b": 2}, "test": {"a": 6, "b": 6}}))
    labels = folder(root, evaluation_size=4).open(tmp_path).labels(Split.EVALUATION)
    assert labels is not None and sorted(labels.tolist()) == [0, 0, 1, 1]
    with pytest.raises(DataError, match=r"evaluation_size=13, but there are 12 evaluation pictures"):
        folder(root, evaluation_size=13).open(tmp_path)


def test_overlap_is_an_error_that_names_both_sides(tmp_path: Path) -> None:
    files = tree(SPLIT)
    files["test/dog/copy.png"] = files["train/cat/001.png"]
    root = write(tmp_path / "r", files)
    with pytest.raises(DataError, match=r"1 training .*train/cat/001\.png = test/dog/copy\.png.*on_overlap=drop"):
        folder(root).open(tmp_path)
    assert folder(root, on_overlap="drop").open(tmp_path).count(Split.TRAIN) == 7


def broken(change: dict[str, bytes | None], base: dict[str, dict[str, int]] = SPLIT) -> dict[str, bytes]:
    files: dict[str, bytes | None] = {**tree(base), **change}
    return {name: content for name, content in files.items() if content is not None}


@pytest.mark.parametrize(
    ("files", "settings", "message"),
    [
        ({}, {}, "no pictures in it"),
        ({"readme.txt": b"hello"}, {}, "no pictures in it"),
        (broken({"train/eel/notes.txt": b"x"}), {}, r"class folder train/eel has no pictures"),
        (broken({"train/eel/1.png": png(99)}), {}, r"different classes: only in train: eel"),
        (broken({"train/stray.png": png(99)}), {"train": "train"}, r"train/stray\.png lies beside the class folders"),
        (broken({}), {"calibration_size": 9}, r"calibration_size=9, but there are 8 training"),
        (tree({"test": {"a": 3}}), {}, r"calibration_size=2, but there are 0 training"),
    ],
)
def test_broken_folders_are_refused(
    tmp_path: Path, files: dict[str, bytes], settings: dict[str, Any], message: str
) -> None:
    (tmp_path / "r").mkdir()
    with pytest.raises(DataError, match=message) as caught:
        folder(write(tmp_path / "r", files), **settings).open(tmp_path)
    assert str(caught.value).startswith("data.root=")


def test_a_missing_root_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.root=.*nowhere: no such folder or \.zip: give one"):
        folder(tmp_path / "nowhere").open(tmp_path)


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK but not really")
    with pytest.raises(DataError, match=r"neither a folder nor a readable \.zip"):
        folder(tmp_path / "x.zip").open(tmp_path)


def test_files_are_hashed_once_until_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "r", tree(SPLIT))
    hashed: list[str] = []
    real = listing.file_sha256
    monkeypatch.setattr(listing, "file_sha256", lambda path: (hashed.append(path.name), real(path))[1])
    first = folder(root).open(tmp_path / "cache").digest(Split.TRAIN)
    assert len(hashed) == 12
    assert folder(root).open(tmp_path / "cache").digest(Split.TRAIN) == first
    assert len(hashed) == 12
    (root / "train/cat/000.png").write_bytes(png(1000))
    assert folder(root).open(tmp_path / "cache").digest(Split.TRAIN) != first
    assert len(hashed) == 13
    folder(root, digest="content").open(tmp_path / "cache")
    assert len(hashed) == 25


def test_digest_content_sees_a_change_that_hides_its_size_and_mtime(tmp_path: Path) -> None:
    files = tree(SPLIT)
    root = write(tmp_path / "r", files)
    first = folder(root).open(tmp_path / "cache").digest(Split.TRAIN)
    path = root / "train/cat/000.png"
    before = path.stat()
    path.write_bytes(files["train/cat/000.png"][:-1] + b"X")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert folder(root).open(tmp_path / "cache").digest(Split.TRAIN) == first
    assert folder(root, digest="content").open(tmp_path / "cache").digest(Split.TRAIN) != first


def test_a_damaged_hash_cache_is_rebuilt(tmp_path: Path) -> None:
    root = pack(tmp_path / "a.zip", tree(SPLIT))
    first = folder(root).open(tmp_path / "cache").digest(Split.TRAIN)
    for file in (tmp_path / "cache").iterdir():
        file.write_text('{"version": 1, "value": [')
    assert folder(root).open(tmp_path / "cache").digest(Split.TRAIN) == first


@pytest.mark.skipif(not SHARED.is_file(), reason="../shared/data/cifar10.zip is not there")
def test_cifar10_zip_opens_with_defaults_and_the_second_time_fast(tmp_path: Path) -> None:
    settings = ImageFolderData(root=SHARED, image_size=64, calibration_size=200)
    settings.open(tmp_path)
    start = time.perf_counter()
    source = settings.open(tmp_path)
    seconds = time.perf_counter() - start
    assert [source.count(split) for split in Split] == [50_000, 200, 10_000]
    assert seconds < 2  # 0.3 s measured; the machine may be busy
    batch = next(source.batches(Split.CALIBRATION, 200))
    assert batch.only.shape == (200, 3, 64, 64)
    assert batch.labels is not None and np.bincount(batch.labels).tolist() == [20] * 10


@pytest.mark.parametrize(
    ("train", "evaluation"),
    [("Train", "Test"), ("training", "testing"), ("TRAIN", "VAL"), ("train", "eval"), ("trn", "Dev")],
)
def test_folders_of_splits_are_known_by_what_people_call_them(tmp_path: Path, train: str, evaluation: str) -> None:
    root = write(tmp_path / "r", tree({train: {"cat": 6, "dog": 6}, evaluation: {"cat": 2, "dog": 2}}))
    data = folder(root).open(tmp_path)
    assert data.signature.classes == ("cat", "dog")
    assert [data.count(split) for split in (Split.TRAIN, Split.EVALUATION)] == [12, 4]
    assert data.notes == ()  # type: ignore[attr-defined]


def test_what_is_left_out_is_told_and_a_costly_guess_is_refused(tmp_path: Path) -> None:
    each = {"cat": 3, "dog": 3}
    data = folder(write(tmp_path / "three", tree({"train": each, "test": each, "val": each}))).open(tmp_path)
    assert data.notes == (  # type: ignore[attr-defined]
        "data.root: val/ is left out, 6 pictures: only train and test are used; data.train and data.evaluation name "
        "others",
    )
    twice = write(tmp_path / "twice", tree({"train": each, "Training": each}))
    with pytest.raises(DataError, match="Training/ and train/ both mean train by their names: say which"):
        folder(twice).open(tmp_path)
    mixed = write(tmp_path / "mixed", tree({"test": {"cat": 3}, "": {"horse": 3, "sheep": 3}}))
    with pytest.raises(DataError, match="test/ looks like a split, and horse, sheep beside it like classes"):
        folder(mixed).open(tmp_path)
    there = folder(mixed, train=".").open(tmp_path)  # the remedy: all of them are classes
    assert there.signature.classes == ("horse", "sheep", "test")


def test_files_of_another_suffix_are_told_where_there_are_pictures_and_where_there_are_none(tmp_path: Path) -> None:
    files = tree({"": {"cat": 6, "dog": 6}})
    data = folder(write(tmp_path / "r", {**files, "cat/7.heic": b"x", "dog/8.jp2": b"x"})).open(tmp_path)
    (note,) = data.notes  # type: ignore[attr-defined]
    assert note.startswith("data.root: 2 files that the suffix makes no picture of (1 .heic, 1 .jp2) left out")
    with pytest.raises(DataError, match=r"no pictures in it: 1 file that the suffix makes no picture of \(1 .heic\)"):
        folder(write(tmp_path / "none", {"cat/7.heic": b"x"})).open(tmp_path)


def test_a_zip_of_windows_gives_the_digests_of_the_folder(tmp_path: Path) -> None:
    files = tree(SPLIT)
    roots = (
        write(tmp_path / "plain", files),
        pack(tmp_path / "a.zip", {f"pets\\{name}".replace("/", "\\"): content for name, content in files.items()}),
        pack(tmp_path / "b.zip", {"./": b"", **{f"./{name}": content for name, content in files.items()}}),
    )
    sources = [folder(root).open(tmp_path / "cache") for root in roots]
    assert len({source.digest(Split.TRAIN) for source in sources}) == 1
    pixels = [next(source.batches(Split.TRAIN, 8)).only.tobytes() for source in sources]
    assert len(set(pixels)) == 1
