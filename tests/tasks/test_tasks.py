"""What holds of every built-in task."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.contract import Task, Tensor
from edgepipe.tasks.agreement import Agreement
from edgepipe.tasks.classification import Classification
from edgepipe.tasks.embedding import Embedding
from edgepipe.tasks.multilabel import Multilabel
from edgepipe.tasks.regression import Regression
from tests.tasks.drawn import DRAWN, SIGNATURE, answers


@pytest.mark.parametrize("task", [Classification(), Multilabel(), Regression(), Embedding(), Agreement()])
def test_a_worse_model_moves_every_measure_the_way_that_it_says(task: Task) -> None:
    truth = DRAWN.integers(0, 3, 300)
    scores = np.eye(3, dtype=np.float32)[truth] + 0.2 * DRAWN.normal(size=(300, 3)).astype(np.float32)
    noise = DRAWN.normal(size=(300, 3)).astype(np.float32)
    raw = {Classification: truth, Multilabel: np.eye(3, dtype=np.int64)[truth], Regression: np.eye(3)[truth]}
    better, worse = answers(task, scores), answers(task, scores + noise)
    targets = task.targets(raw[type(task)], SIGNATURE) if type(task) in raw else task.targets_of(better)
    assert targets is not None
    for measure in task.measures:
        a, b = (task.measured(each, targets)[measure.name].value for each in (better, worse))
        drop = task.compared(worse, better, targets)[measure.name].value
        if a is None or b is None or drop is None:
            assert measure.name == "top5"
            continue
        assert drop > 0
        assert (a - b) * (1 if measure.better == "higher" else -1) == pytest.approx(drop)


def test_what_a_task_cannot_judge_is_told_from_the_outputs() -> None:
    scores, boxes = Tensor(name="a", shape=(10,)), Tensor(name="b", shape=(100, 4))
    assert Classification().misfit([scores]) is None
    assert Classification().misfit([Tensor(name="c", dtype="int64", shape=())]) is None
    assert Classification().misfit([Tensor(name="d", shape=(10, 1, 1))]) is None
    assert "no vector of scores" in (Classification().misfit([boxes]) or "")
    assert Agreement().misfit([boxes, scores]) is None
