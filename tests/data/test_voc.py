from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.contract import Split
from edgepipe.data.voc import VocData
from edgepipe.errors import DataError
from tests.data import boxed
from tests.data.drawing import write

SPLITS = {"train": boxed.scenes("train", 6), "val": boxed.scenes("val", 4)}


def opened(root: Path, **settings: object):
    return VocData.model_validate({"root": root, "image_size": 32, "calibration_size": 2, **settings}).open(root / ".c")


def test_the_lists_of_vocs_own_layout_are_the_splits(tmp_path: Path) -> None:
    files = {}
    for one in (*SPLITS["train"], *SPLITS["val"]):
        files[f"VOCdevkit/VOC2007/JPEGImages/{one.name}.png"] = one.raw
        files[f"VOCdevkit/VOC2007/Annotations/{one.name}.xml"] = boxed.xml(one)
    main = "VOCdevkit/VOC2007/ImageSets/Main"
    for split, pictures in SPLITS.items():
        files[f"{main}/{split}.txt"] = "\n".join(one.name for one in pictures).encode()
    files[f"{main}/disc_train.txt"] = b"val_000 -1\n"
    files[f"{main}/trainval.txt"] = b"train_000\nval_000\n"
    data = opened(write(tmp_path / "d", files))
    assert [data.count(split) for split in (Split.TRAIN, Split.EVALUATION)] == [6, 4]


def test_one_folder_of_everything_is_split_by_seed_and_pictures_without_xml_are_told(tmp_path: Path) -> None:
    files = {f"{one.name}.png": one.raw for one in SPLITS["train"]}
    files |= {f"{one.name}.xml": boxed.xml(one) for one in SPLITS["train"]}
    files["bare.png"] = boxed.drawn(99, "bare").raw
    files["lone.xml"] = boxed.xml(SPLITS["val"][0])
    data = opened(write(tmp_path / "d", files), evaluation_share=0.4)
    assert [data.count(split) for split in (Split.TRAIN, Split.EVALUATION)] == [4, 2]
    told = " ".join(data.notes)
    assert "1 picture without an .xml file left out" in told and "1 .xml file without a picture left out" in told


def test_classes_that_are_not_named_are_left_out_and_told(tmp_path: Path) -> None:
    data = opened(write(tmp_path / "d", boxed.voc(SPLITS)), classes=["bar"])
    labels = data.labels(Split.EVALUATION)
    assert labels is not None and set(labels[..., 4].ravel().tolist()) <= {-1, 0}
    assert any("boxes of disc are left out" in note for note in data.notes)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.png": boxed.drawn(1, "a").raw}, "no .xml file in it"),
        ({"a.png": boxed.drawn(1, "a").raw, "b.xml": b"<annotation/>"}, "no .xml file has the name of a picture"),
        ({"a.png": boxed.drawn(1, "a").raw, "a.xml": b"<annotation/>"}, "no .xml file has an object"),
        (
            {"i/a.png": boxed.drawn(1, "a").raw, "x/a.xml": b"<annotation/>", "y/a.xml": b"<annotation/>"},
            "x/a.xml and y/a.xml are both of i/a.png",
        ),
    ],
)
def test_what_is_no_such_data_is_said(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        opened(write(tmp_path / "d", files))
