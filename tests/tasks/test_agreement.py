"""Any outputs at all, against the baseline."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.errors import MeasureError
from edgepipe.tasks.agreement import Agreement
from tests.tasks.drawn import DRAWN, answers


def test_outputs_of_any_shape_are_compared_one_by_one_and_the_worst_counts() -> None:
    task = Agreement()
    boxes, count = DRAWN.normal(size=(50, 7, 4)).astype(np.float32), np.full((50,), 7)
    before = answers(task, boxes, count)
    assert task.measured(before, before)["cosine"].value == 1.0
    other = boxes.copy()
    other[3] = 0
    now = answers(task, other, count)
    found = task.measured(now, before)
    assert found["cosine"].value == pytest.approx(0.98)
    assert found["cosine_p01"].value == pytest.approx(0.0)
    assert found["relative_error"].value == pytest.approx(0.02)
    assert task.alike(now, before).sum() == 49
    assert task.possible(now, 50)
    assert not task.possible(now, 49)
    ragged = task.join([answers(task, boxes[:2]), answers(task, boxes[2:4, :3])])
    assert task.count(ragged) == 4
    assert task.alike(ragged, task.join([answers(task, boxes[:2]), answers(task, boxes[2:4])])).tolist() == [
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(MeasureError, match="they cannot be compared"):
        task.measured(answers(task, boxes), before)
