from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.contract import Split
from edgepipe.data.yolo import YoloData
from edgepipe.errors import DataError
from tests.data import boxed
from tests.data.drawing import write

SPLITS = {"train": boxed.scenes("train", 6), "val": boxed.scenes("val", 4)}


def opened(root: Path, **settings: object):
    return YoloData.model_validate({"root": root, "image_size": 32, "calibration_size": 2, **settings}).open(
        root / ".c"
    )


def counts(data) -> list[int]:
    return [data.count(split) for split in (Split.TRAIN, Split.EVALUATION)]


def test_without_yaml_folders_are_splits_and_classes_txt_names_classes(tmp_path: Path) -> None:
    files = {
        name.replace("images/train", "train/images").replace("labels/train", "train/labels"): content
        for name, content in boxed.yolo(SPLITS).items()
        if name != "data.yaml"
    }
    files = {
        name.replace("images/val", "valid/images").replace("labels/val", "valid/labels"): content
        for name, content in files.items()
    }
    data = opened(write(tmp_path / "d", {**files, "classes.txt": b"disc\nbar\n"}))
    assert counts(data) == [6, 4] and data.signature.classes == boxed.CLASSES


def test_paths_of_the_authors_machine_and_lists_of_pictures_are_found(tmp_path: Path) -> None:
    files = boxed.yolo(SPLITS)
    files["data.yaml"] = b"train: ../datasets/x/images/train\nval: val.txt\nnc: 2\nnames: [disc, bar]\n"
    files["val.txt"] = "\n".join(f"/home/me/x/images/val/{one.name}.png" for one in SPLITS["val"][:3]).encode()
    assert counts(opened(write(tmp_path / "d", files))) == [6, 3]


def test_without_splits_pictures_are_held_out(tmp_path: Path) -> None:
    files = {name.replace("/train/", "/"): content for name, content in boxed.yolo({"train": SPLITS["train"]}).items()}
    files["data.yaml"] = b"names: [disc, bar]"
    assert counts(opened(write(tmp_path / "d", files), evaluation_share=0.5)) == [3, 3]


def test_data_of_another_trainer_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no YAML file with `names` and no classes.txt"):
        opened(write(tmp_path / "d", {"images/a.png": boxed.drawn(1, "a").raw}))
