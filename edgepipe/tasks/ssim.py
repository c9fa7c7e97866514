"""Structural similarity of two pictures.

Source: Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, IEEE Transactions on
Image Processing 13 (2004), with its Gaussian window of 11 pixels and 1.5 standard deviation, K1 0.01 and K2 0.03.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SIDE = 11
_SIGMA = 1.5
_PLACES = np.arange(_SIDE) - _SIDE // 2
_WINDOW = np.exp(-(_PLACES**2) / (2 * _SIGMA**2))
_WINDOW = _WINDOW / _WINDOW.sum()


def ssim(one: NDArray[np.floating], other: NDArray[np.floating], value_range: float) -> float:
    """Mean over channels and the places that a whole window fits on, in [-1, 1].

    Args:
        one, other: (channels, height, width); NaN comes of pictures smaller than the window.
    """
    if min(one.shape[1:]) < _SIDE:
        return float("nan")
    a, b = one.astype(np.float64), other.astype(np.float64)
    mean_a, mean_b = _blurred(a), _blurred(b)
    # Population moments; rounding may make a variance of nothing negative.
    var_a = np.maximum(_blurred(a * a) - mean_a**2, 0)
    var_b = np.maximum(_blurred(b * b) - mean_b**2, 0)
    both = _blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    like = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float((like / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def _blurred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted means over whole windows: (channels, height - 10, width - 10)."""
    rows = np.lib.stride_tricks.sliding_window_view(values, _SIDE, axis=1) @ _WINDOW
    return np.asarray(np.lib.stride_tricks.sliding_window_view(rows, _SIDE, axis=2) @ _WINDOW)
