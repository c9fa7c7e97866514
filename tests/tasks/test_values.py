"""Reading numbers, and intervals of their means."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.errors import MeasureError
from edgepipe.tasks.values import cosines, mean_interval, values_of


def test_the_interval_of_a_mean_is_two_standard_errors_wide_on_each_side() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert mean_interval(values) == pytest.approx((2.5 - 1.2651, 2.5 + 1.2651), abs=1e-3)
    assert mean_interval(values[:1]) == (1.0, 1.0)


def test_opposite_rows_have_cosine_minus_one_and_two_of_zeros_one() -> None:
    one = np.array([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    assert cosines(one, np.array([[-2.0, -4.0], [0.0, 0.0], [1.0, 0.0]])).tolist() == pytest.approx([-1, 1, 0])


def test_values_that_are_not_finite_are_refused() -> None:
    assert values_of({"a": np.zeros((3, 2, 2))}, "m").shape == (3, 4)
    with pytest.raises(MeasureError, match="NaN or infinite"):
        values_of({"a": np.array([[np.inf]])}, "m")
    with pytest.raises(MeasureError, match="a single number"):
        values_of({"a": np.float32(1)}, "m")
