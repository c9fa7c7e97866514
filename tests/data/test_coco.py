from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgepipe.contract import Split
from edgepipe.data.coco import CocoData
from edgepipe.errors import DataError
from tests.data import boxed
from tests.data.drawing import write

SPLITS = {"train": boxed.scenes("train", 6), "val": boxed.scenes("val", 4)}


def opened(root: Path, **settings: object):
    return CocoData.model_validate({"root": root, "image_size": 32, "calibration_size": 2, **settings}).open(
        root / ".c"
    )


def test_a_json_in_each_folder_and_crowds(tmp_path: Path) -> None:
    files = {}
    for split, pictures in {"train": SPLITS["train"], "valid": SPLITS["val"]}.items():
        content = boxed.instances(pictures)
        for item in content["annotations"]:  # type: ignore[attr-defined]
            item["iscrowd"] = 1
        files[f"{split}/_annotations.coco.json"] = json.dumps(content).encode()
        files |= {f"{split}/{one.name}.png": one.raw for one in pictures}
    data = opened(write(tmp_path / "d", files))
    labels = data.labels(Split.EVALUATION)
    assert labels is not None and len(labels) == 4
    assert (labels[labels[..., 4] >= 0][:, 5] == 1).all()


def test_one_json_is_split_by_seed_and_classes_may_be_chosen(tmp_path: Path) -> None:
    files = {f"pictures/{one.name}.png": one.raw for one in SPLITS["train"]}
    files["labels.json"] = json.dumps(boxed.instances(SPLITS["train"])).encode()
    data = opened(write(tmp_path / "d", files), classes=["bar"], evaluation_share=0.5)
    assert [data.count(split) for split in (Split.TRAIN, Split.EVALUATION)] == [3, 3]
    assert data.signature.classes == ("bar",)
    with pytest.raises(DataError, match="no category is named 'cat'; there are: disc, bar"):
        opened(tmp_path / "d", classes=["cat"])


def test_same_names_in_two_splits_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    alike = {
        split: [boxed.Drawn(f"{row}", one.raw, one.size, one.boxes) for row, one in enumerate(pictures)]
        for split, pictures in SPLITS.items()
    }
    data = opened(write(tmp_path / "d", boxed.coco(alike)))
    assert [data.count(split) for split in (Split.TRAIN, Split.EVALUATION)] == [6, 4]
