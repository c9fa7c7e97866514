"""All three kinds of annotations give the same boxes of the input, whatever the root is."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgepipe.contract import Dataset, Split
from edgepipe.data.box_settings import BoxSettings
from edgepipe.data.boxes import MOST_BOXES, Annotated, size_of
from edgepipe.data.coco import CocoData
from edgepipe.data.voc import VocData
from edgepipe.data.yolo import YoloData
from edgepipe.errors import DataError
from tests.data import boxed
from tests.data.drawing import pack, write
from tests.data.files import turned

SPLITS = {"train": boxed.scenes("train", 9), "val": boxed.scenes("val", 6)}
KINDS: dict[str, tuple[type[BoxSettings], Callable[..., dict[str, bytes]]]] = {
    "voc": (VocData, boxed.voc),
    "yolo": (YoloData, boxed.yolo),
    "coco": (CocoData, boxed.coco),
}


def opened(kind: str, tmp_path: Path, *, packed: bool = False, **settings: object) -> Dataset:
    source, files = KINDS[kind]
    tmp_path.mkdir(exist_ok=True)
    content = files(SPLITS)
    root = pack(tmp_path / "d.zip", content) if packed else write(tmp_path / "d", content)
    said = {"root": root, "image_size": [32, 64], "calibration_size": 4, **settings}
    return source.model_validate(said).open(tmp_path / "cache")


def by_picture(data: Dataset, split: Split) -> dict[bytes, list[list[float]]]:
    """Pixels of a picture to its boxes."""
    found = {}
    for batch in data.batches(split, 4):
        for pixels, table in zip(batch.only, batch.labels, strict=True):
            found[pixels.tobytes()] = sorted(row for row in table.tolist() if row[4] >= 0)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_the_same_data(kind: str, tmp_path: Path) -> None:
    one, other = opened(kind, tmp_path / "folder"), opened(kind, tmp_path / "packed", packed=True)
    for split in Split:
        assert one.digest(split) == other.digest(split)


def test_all_kinds_say_the_same_and_classes_stand_in_their_order(tmp_path: Path) -> None:
    sets = {kind: opened(kind, tmp_path / kind) for kind in KINDS}
    assert sets["voc"].signature.classes == ("bar", "disc")
    assert sets["yolo"].signature.classes == sets["coco"].signature.classes == boxed.CLASSES
    named = opened("voc", tmp_path / "named", classes=list(boxed.CLASSES))
    for split in (Split.TRAIN, Split.EVALUATION):
        wanted = by_picture(sets["yolo"], split)
        assert [len(boxes) for boxes in wanted.values()].count(0) >= 1
        for data in (sets["coco"], named):
            found = by_picture(data, split)
            assert found.keys() == wanted.keys()
            for key, boxes in found.items():
                assert np.allclose(boxes, wanted[key], atol=1e-3) or boxes == wanted[key]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_a_split_are_those_of_its_batches_and_boxes_frame_what_is_drawn(kind: str, tmp_path: Path) -> None:
    data = opened(kind, tmp_path)
    assert data.signature.task == "detection" and data.signature.preprocessing.fit == "letterbox"
    labels = data.labels(Split.EVALUATION)
    assert labels is not None and labels.dtype == np.float32 and labels.shape[::2] == (6, 6)
    batches = list(data.batches(Split.EVALUATION, 4))
    assert np.array_equal(np.concatenate([batch.labels for batch in batches]), labels)
    rows = [5, 0, 3]
    assert np.array_equal(next(data.batches(Split.EVALUATION, 3, rows)).labels, labels[rows])
    disc = data.signature.classes.index("disc")
    pixels = np.concatenate([batch.only for batch in batches])[:, 0]
    for picture, table in zip(pixels, labels, strict=True):
        for x1, y1, x2, y2, label, _ in table[table[:, 4] >= 0][-1:].tolist():  # the last drawn lies on top
            inside = picture[round(y1) + 1 : round(y2) - 1, round(x1) + 1 : round(x2) - 1]
            assert inside.mean() > 0.8 if label == disc else inside.mean() < 0.2


def test_another_box_is_another_digest_and_the_fit_moves_boxes(tmp_path: Path) -> None:
    data = opened("yolo", tmp_path / "a")
    other = opened("yolo", tmp_path / "b")
    assert data.digest(Split.TRAIN) == other.digest(Split.TRAIN)
    moved = opened("yolo", tmp_path / "c", fit="stretch")
    assert moved.digest(Split.TRAIN) != data.digest(Split.TRAIN)
    file = next((tmp_path / "a" / "d" / "labels" / "train").iterdir())
    file.write_text("1 0.5 0.5 0.2 0.2")
    assert opened_again(tmp_path / "a").digest(Split.TRAIN) != other.digest(Split.TRAIN)


def opened_again(folder: Path) -> Dataset:
    return YoloData(root=folder / "d", image_size=(32, 64), calibration_size=4).open(folder / "cache")


def test_boxes_that_a_crop_cuts_off_need_not_be_found(tmp_path: Path) -> None:
    picture = boxed.drawn(1, "a", size=(64, 32), most=0)
    cut = boxed.Drawn("a", picture.raw, picture.size, [(0, 8, 14, 20, 0), (10, 8, 24, 20, 0), (30, 8, 40, 20, 1)])
    files = boxed.voc({"train": boxed.scenes("train", 5), "test": [cut]})
    data = VocData(
        root=write(tmp_path / "d", files), image_size=32, fit="crop", crop_share=1.0, calibration_size=1
    ).open(tmp_path / "cache")
    labels = data.labels(Split.EVALUATION)
    assert labels is not None
    # 64x32 keeps columns 16 to 48: the first box is gone, of the second 8 of 14 pixels stay.
    assert labels[0].tolist() == [[0, 8, 8, 20, 1, 0], [14, 8, 24, 20, 0, 0]]


def test_an_annotation_of_another_picture_is_refused_and_the_turned_one_said_so(tmp_path: Path) -> None:
    files = boxed.voc(SPLITS)
    name = "train/annotations/train_000.xml"
    files[name] = files[name].replace(b"<width>48</width>", b"<width>47</width>")
    root = write(tmp_path / "d", files)
    with pytest.raises(DataError, match=r"train_000.xml: says 47x32 pixels, and .*train_000.png has 48x32"):
        VocData(root=root, calibration_size=1).open(tmp_path / "cache")
    raw = turned("JPEG", 6)
    width, height = size_of("a.jpg", raw)
    stored = Image.open(io.BytesIO(raw)).size
    assert (height, width) == stored


def test_hostile_boxes_are_refused() -> None:
    item = Annotated("a.xml")
    with pytest.raises(DataError, match=r"a.xml: line 3: a box from 9,0 to 5,5 is turned inside out"):
        item.add("a.xml: line 3", (9, 0, 5, 5), 0, False)
    with pytest.raises(DataError, match="correct it"):
        item.add("a.xml: line 3", (0, 0, float("nan"), 5), 0, False)
    item.boxes = [(0, 0, 1, 1, 0, 0)] * MOST_BOXES
    with pytest.raises(DataError, match="more than 5,000 boxes"):
        item.add("a.xml", (0, 0, 1, 1), 0, False)
    item.boxes = []
    item.add("a.xml", (3, 3, 3, 9), 0, False)  # a line is no box, and no mistake
    assert item.boxes == []
