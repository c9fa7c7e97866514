"""The settings of drawn pages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepipe.contract import Split
from edgepipe.data.drawn_pages import DrawnPagesData
from edgepipe.errors import DataError
from edgepipe.testing import check_data

SMALL = {"image_size": (96, 128), "train_size": 5, "evaluation_size": 4, "calibration_size": 3}


def test_pages_keep_the_contract() -> None:
    check_data(DrawnPagesData(**SMALL), changed=DrawnPagesData(**{**SMALL, "seed": 1}))


def test_masks_are_of_two_classes_and_may_be_left_out(tmp_path: Path) -> None:
    data, without = (DrawnPagesData(labels=labels, **SMALL).open(tmp_path) for labels in ("masks", "none"))
    assert data.signature.task == without.signature.task == "segmentation"
    assert data.signature.classes == ("paper", "text")
    masks = data.labels(Split.EVALUATION)
    assert masks is not None and masks.shape == (4, 96, 128) and set(np.unique(masks)) == {0, 1}
    (one,), (other,) = data.batches(Split.EVALUATION, 4), without.batches(Split.EVALUATION, 4)
    assert np.array_equal(one.labels, masks) and other.labels is None  # type: ignore[arg-type]
    assert np.array_equal(one.only, other.only) and -1 <= one.only.min() < one.only.max() <= 1
    assert without.labels(Split.EVALUATION) is None
    assert data.digest(Split.TRAIN) != DrawnPagesData(**SMALL, noise=0).open(tmp_path).digest(Split.TRAIN)


def test_small_pages_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="from 64 pixels on"):
        DrawnPagesData(**{**SMALL, "image_size": 48}).open(tmp_path)
