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
