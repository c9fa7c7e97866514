"""The settings of drawn shapes: two tasks, two tables of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepipe.contract import Split
from edgepipe.data.drawn_shapes import ShapesData
from edgepipe.errors import DataError
from edgepipe.testing import check_data

SMALL = {"image_size": (32, 48), "train_size": 7, "evaluation_size": 5, "calibration_size": 3}


def test_boxes_keep_the_contract_too() -> None:
    check_data(ShapesData(labels="boxes", **SMALL), changed=ShapesData(labels="boxes", **{**SMALL, "seed": 1}))


def test_masks_and_boxes_are_of_the_same_pictures(tmp_path: Path) -> None:
    masks, boxes = (ShapesData(labels=labels, **SMALL).open(tmp_path) for labels in ("masks", "boxes"))
    assert (masks.signature.task, boxes.signature.task) == ("segmentation", "detection")
    assert masks.signature.classes == ("ground", *boxes.signature.classes)
    for one, other in zip(masks.batches(Split.TRAIN, 4), boxes.batches(Split.TRAIN, 4), strict=True):
        assert np.array_equal(one.only, other.only)
    assert masks.digest(Split.TRAIN) != boxes.digest(Split.TRAIN)


def test_grey_and_bgr_are_given_as_asked(tmp_path: Path) -> None:
    plain = {**SMALL, "mean": (0.0,), "std": (1.0,), "channels": 1}
    grey = next(ShapesData(**plain).open(tmp_path).batches(Split.TRAIN, 7)).only
    assert grey.shape == (7, 1, 32, 48)
    how = {**SMALL, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    rgb, bgr = (next(ShapesData(**how, order=o).open(tmp_path).batches(Split.TRAIN, 7)).only for o in ("rgb", "bgr"))
    assert np.array_equal(rgb, bgr[:, ::-1])
    assert np.allclose(rgb.mean(axis=1, keepdims=True), grey, atol=1 / 255)


def test_too_small_pictures_and_too_many_for_calibration_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="from 32 pixels on"):
        ShapesData(**{**SMALL, "image_size": 24}).open(tmp_path)
    with pytest.raises(DataError, match=r"calibration_size=8 of data\.train_size=7"):
        ShapesData(**{**SMALL, "calibration_size": 8}).open(tmp_path)
