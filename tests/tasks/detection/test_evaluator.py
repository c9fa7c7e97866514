from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from edgepipe.errors import MeasureError
from edgepipe.tasks.detection.evaluator import check_installed, evaluated
from tests.tasks.detection.scenes import BOXES


def test_the_truth_itself_is_perfect_and_half_a_box_off_is_right_at_half() -> None:
    truth = BOXES.copy()
    truth[..., 5] = 0
    found = evaluated(BOXES, truth)
    assert found.mean == pytest.approx(1) and found.half == pytest.approx(1)
    assert found.by_class.keys() == {0, 1, 2}
    moved = BOXES.copy()
    moved[..., [0, 2]] += 8  # IoU of 0.67 to 0.72
    found = evaluated(moved, truth)
    assert found.half == pytest.approx(1) and found.mean is not None and 0.3 < found.mean < 0.5
    assert evaluated(np.full_like(BOXES, -1), truth)[:2] == (0, 0)


def test_boxes_of_classes_that_nobody_labelled_count_nowhere() -> None:
    truth = BOXES.copy()
    truth[..., 5] = 0
    more = np.concatenate([BOXES, np.array([[[0, 0, 50, 50, 7, 0.99]]] * 2, np.float32)], 1)
    assert evaluated(more, truth) == evaluated(BOXES, truth)


def test_a_missing_evaluator_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def missing(name: str, *rest: Any) -> Any:
        return None if name == "faster_coco_eval" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", missing)
    with pytest.raises(MeasureError, match=r"pip install 'edgepipe\[detection\]'"):
        check_installed()
