"""Vectors: by direction, against the baseline."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.tasks.embedding import Embedding
from tests.tasks.drawn import DRAWN, answers


def test_vectors_are_compared_by_direction_with_those_of_the_baseline() -> None:
    task = Embedding()
    before = DRAWN.normal(size=(300, 16)).astype(np.float32)
    now = 3 * before + 0.1 * DRAWN.normal(size=(300, 16)).astype(np.float32)
    now[0] = -before[0]
    targets = task.targets_of(answers(task, before))
    assert targets is not None
    measured = task.measured(answers(task, now), targets)
    assert measured["cosine"].value == pytest.approx(0.992, abs=3e-3)
    assert task.alike(answers(task, now), answers(task, before)).sum() == 299
    assert task.compared(answers(task, now), answers(task, before), targets)["cosine"].value == pytest.approx(
        0.008, abs=3e-3
    )
    assert task.measured(answers(task, before), targets)["cosine"].value == pytest.approx(1.0)


def test_what_a_search_would_find_is_measured_too() -> None:
    task = Embedding()
    before = DRAWN.normal(size=(200, 16)).astype(np.float32)
    now = before + 0.3 * DRAWN.normal(size=(200, 16)).astype(np.float32)
    targets = task.targets_of(answers(task, before))
    assert targets is not None
    same, other = (task.measured(answers(task, each), targets) for each in (before, now))
    assert same["recall_at_10"].value == 1 and same["rank_correlation"].value == pytest.approx(1)
    recall, correlation = other["recall_at_10"].value, other["rank_correlation"].value
    assert recall is not None and correlation is not None and 0.4 < recall < 0.95 and 0.8 < correlation < 0.99
    drop = task.compared(answers(task, now), answers(task, before), targets)
    assert drop["recall_at_10"].value == pytest.approx(1 - recall)
    few = task.measured(answers(task, before[:11]), {"vectors": before[:11]})
    assert few["recall_at_10"].value is None
