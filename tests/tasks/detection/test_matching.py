"""Average precision from matches is what COCO's evaluator says, and weights are pictures drawn again."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.tasks.detection.evaluator import evaluated
from edgepipe.tasks.detection.matching import matched, mean_precision, overlaps
from tests.tasks.detection.scenes import crowd


@pytest.mark.parametrize("seed", range(8))
def test_it_is_what_the_evaluator_says(seed: int) -> None:
    boxes, truth = crowd(seed)
    found, classes = evaluated(boxes, truth), matched(boxes, truth)
    one = np.ones((1, len(truth)))
    assert found.mean is not None and 0.05 < found.mean < 0.9
    assert mean_precision(classes, one, slice(0, 10))[0] == pytest.approx(found.mean, abs=1e-9)
    assert mean_precision(classes, one, slice(0, 1))[0] == pytest.approx(found.half, abs=1e-9)


def test_a_weight_of_two_is_a_picture_drawn_twice() -> None:
    boxes, truth = crowd(3, count=12)
    drawn = np.random.default_rng(0).integers(0, 12, 12)
    weights = np.bincount(drawn, minlength=12)[None].astype(np.float64)
    wanted = evaluated(boxes[np.sort(drawn)], truth[np.sort(drawn)]).mean
    assert mean_precision(matched(boxes, truth), weights, slice(0, 10))[0] == pytest.approx(wanted, abs=2e-3)


def test_overlaps_are_those_of_rectangles() -> None:
    one = np.array([[0, 0, 10, 10]], np.float32)
    other = np.array([[5, 0, 15, 10], [0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 20, 20]], np.float32)
    assert overlaps(one, other)[0] == pytest.approx([1 / 3, 1, 0, 0.25])
    assert overlaps(one, other, np.array([True, False, False, True]))[0] == pytest.approx([0.5, 1, 0, 1])


def test_no_labelled_box_has_no_precision() -> None:
    boxes, truth = crowd(0, count=3)
    truth[..., 4] = -1
    assert matched(boxes, truth) == {}
    assert np.isnan(mean_precision({}, np.ones((2, 3)), slice(0, 1))).all()
    assert evaluated(boxes, truth).mean is None
