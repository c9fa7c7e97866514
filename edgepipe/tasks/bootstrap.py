"""Intervals of what no formula gives one for: examples are drawn again, and the figure computed anew."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Interval

_DRAWS = 400
_AT_ONCE = 1 << 22


def interval(figure: Callable[[NDArray[np.float64]], NDArray[np.float64]], n: int) -> Interval | None:
    """95% percentile interval of a figure over n examples; None where it has no meaning in most draws.

    The same draws every time, so that equal answers give equal intervals.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    Args:
        figure: weights of the examples, float64 (draws, n), each row of sum n, to (draws,) values.
    """
    generator = np.random.default_rng(0)
    each = max(1, min(_DRAWS, _AT_ONCE // max(n, 1)))
    found: list[NDArray[np.float64]] = []
    for start in range(0, _DRAWS, each):
        weights = generator.multinomial(n, np.full(n, 1 / n), size=min(each, _DRAWS - start)).astype(np.float64)
        found.append(figure(weights))
    values = np.concatenate(found)
    values = values[np.isfinite(values)]
    if len(values) < _DRAWS // 2:
        return None
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
