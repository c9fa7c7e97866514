"""Intervals of shares: of one sample, and of two models on the same examples."""

from __future__ import annotations

import math

from edgepipe.contract import Interval
from edgepipe.errors import MeasureError

Z95 = 1.959963984540054
"""97.5% quantile of the standard normal distribution."""


def wilson(successes: int, trials: int) -> Interval:
    """Wilson score interval (95%) of a share. Source: Wilson, JASA 22 (1927).

    Raises:
        MeasureError: no trials, or successes outside [0, trials].
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise MeasureError(f"no share of {successes} in {trials} examples")
    share, z2 = successes / trials, Z95 * Z95
    center = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    # Rounding may not push the bounds past the share itself or out of [0, 1].
    return max(0.0, min(share, center - half)), min(1.0, max(share, center + half))


def newcombe(both: int, lost: int, won: int, neither: int) -> Interval:
    """95% interval of (lost - won) / n from the four counts of a paired comparison.

    Source: Newcombe, Statistics in Medicine 17 (1998) 2635, method 10.
    """
    n = both + lost + won + neither
    before, after = both + lost, both + won
    p, q, difference = before / n, after / n, (lost - won) / n
    (p_low, p_high), (q_low, q_high) = wilson(before, n), wilson(after, n)
    margins = before * (n - before) * after * (n - after)
    excess: float = both * neither - lost * won
    if excess > 0:
        excess = max(excess - n / 2, 0)  # continuity correction of the method
    phi = excess / math.sqrt(margins) if margins else 0.0
    down = (p - p_low) ** 2 - 2 * phi * (p - p_low) * (q_high - q) + (q_high - q) ** 2
    up = (q - q_low) ** 2 - 2 * phi * (q - q_low) * (p_high - p) + (p_high - p) ** 2
    return difference - math.sqrt(max(down, 0.0)), difference + math.sqrt(max(up, 0.0))
