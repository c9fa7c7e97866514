"""Intervals by drawing examples again."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.tasks.bootstrap import interval
from edgepipe.tasks.values import mean_interval

DRAWN = np.random.default_rng(1)


def test_the_interval_of_a_mean_is_that_of_the_formula_and_the_same_each_time() -> None:
    values = DRAWN.normal(size=500)
    found = interval(lambda weights: weights @ values / len(values), len(values))
    assert found == pytest.approx(mean_interval(values), abs=0.03)
    assert found == interval(lambda weights: weights @ values / len(values), len(values))


def test_what_has_no_meaning_in_most_draws_has_no_interval() -> None:
    assert interval(lambda weights: np.full(len(weights), np.nan), 10) is None


def test_many_examples_are_drawn_in_pieces() -> None:
    values = np.ones(50_000)
    assert interval(lambda weights: weights @ values / len(values), len(values)) == (1.0, 1.0)
