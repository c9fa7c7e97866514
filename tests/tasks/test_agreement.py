"""Any outputs at all, against the baseline."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.errors import MeasureError
from edgepipe.tasks.agreement import Agreement
from tests.tasks.drawn import DRAWN, SIGNATURE, answers


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


def test_masked_scores_are_compared_where_they_are_finite_and_told() -> None:
    task = Agreement()
    scores = DRAWN.normal(size=(40, 6)).astype(np.float32)
    scores[:, 2] = -np.inf
    before = answers(task, scores)
    assert task.measured(before, before)["cosine"].value == 1.0
    now = scores * np.float32(1.005)
    now[7, 2] = 1.0
    after = answers(task, now)
    assert task.alike(after, before).sum() == 39
    assert task.measured(after, before)["cosine"].value == pytest.approx(39 / 40)
    assert task.possible(after, 40)
    (told,) = task.notes(before, None, None, SIGNATURE)
    assert told.startswith("17% of the values of output 'out0' are infinite")
    assert task.notes(after, before, None, SIGNATURE) == []
    scores[3, 0] = np.nan
    with pytest.raises(MeasureError, match="NaN in its output 'out0'"):
        answers(task, scores)
