"""Many labels: as scikit-learn measures them."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.errors import DataError
from edgepipe.tasks.multilabel import Multilabel
from tests.tasks.drawn import DRAWN, SIGNATURE, answers


def test_many_labels_are_measured_as_scikit_learn_measures_them() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    task = Multilabel()
    truth = DRAWN.random((150, 5)) < 0.3
    scores = np.clip(truth * 0.4 + DRAWN.random((150, 5)) * 0.6, 0, 1).astype(np.float32)
    scores[:40] = scores[:40].round(1)  # some are equal
    found = task.measured(answers(task, scores), task.targets(truth.astype(np.int64), SIGNATURE))
    assert found["f1"].value == pytest.approx(metrics.f1_score(truth, scores >= 0.5, average="macro"))
    wanted = metrics.average_precision_score(truth, scores, average="macro")
    assert found["average_precision"].value == pytest.approx(wanted)
    for figure in found.values():
        assert figure.ci95 is not None
        assert figure.ci95[0] < figure.value < figure.ci95[1]  # type: ignore[operator]


def test_logits_of_many_labels_are_cut_where_their_probability_is_the_threshold() -> None:
    task = Multilabel(threshold=0.8)
    logits = np.array([[2.0, -1.0], [1.0, 3.0]], np.float32)
    assert task.say(answers(task, logits), 0, SIGNATURE) == "ant"
    assert task.say(answers(task, logits), 1, SIGNATURE) == "bee"
    with pytest.raises(DataError, match="labels of 0 and 1"):
        task.targets(np.array([[0, 2]]), SIGNATURE)
