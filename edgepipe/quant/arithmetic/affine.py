"""Affine arithmetic: `Q(x) = saturate(round_half_even(x / S) + Z)`, `x = (q - Z) * S`.

Source: ONNX operators QuantizeLinear and DequantizeLinear; Jacob et al., CVPR 2018, arXiv:1712.05877.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST_SCALE = np.float32(1e-12)
PAIR_LIMIT = 128
"""255 * 128 = 32640 fits 16 bits: the most that two u8*s8 products of `vpmaddubsw` may weigh together."""

_LONG = 64
"""Weights of a row from which on two searches for a maximum are faster than a partition; twenty times, of thousands."""


def quantize(
    values: NDArray[np.float32], scale: NDArray[np.float32] | float, zero_point: int, dtype: type[np.integer[Any]]
) -> NDArray[Any]:
    """Integers of `dtype`, same shape as `values`; `scale` broadcasts. Division in float32, as the runtime does."""
    info = np.iinfo(dtype)
    rounded = np.rint(values.astype(np.float32) / np.asarray(scale, np.float32)).astype(np.float64) + zero_point
    return np.clip(rounded, info.min, info.max).astype(dtype)


def dequantize(values: NDArray[Any], scale: NDArray[np.float32] | float, zero_point: int) -> NDArray[np.float32]:
    """float32, same shape as `values`."""
    return (values.astype(np.int32) - zero_point).astype(np.float32) * np.asarray(scale, np.float32)


def largest_scale(most: float, zero_point: int) -> float:
    """The scale of uint8 values of which none is above `most`, which is at least 0; infinity where none can be."""
    return most / (255 - zero_point) if zero_point < 255 else math.inf


def activation_parameters(low: float, high: float) -> tuple[np.float32, int]:
    """Scale and uint8 zero point that cover [low, high]; zero itself is always exact."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(np.float32((high - low) / 255.0), SMALLEST_SCALE)
    return np.float32(scale), int(np.clip(np.rint(-low / float(scale)), 0, 255))


def _two_largest(rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The largest and second largest of each row, at least 0; rows are (channels, weights)."""
    if rows.shape[1] == 1:
        first = np.maximum(rows[:, 0], 0)
        return first, np.zeros_like(first)
    if rows.shape[1] < _LONG:
        top = np.partition(rows, -2, axis=1)[:, -2:]
        return np.maximum(top[:, 1], 0), np.maximum(top[:, 0], 0)
    places = rows.argmax(axis=1)[:, None]
    others = rows.copy()
    np.put_along_axis(others, places, np.array(-np.inf, rows.dtype), 1)
    return np.maximum(np.take_along_axis(rows, places, 1)[:, 0], 0), np.maximum(others.max(axis=1), 0)


def safe_scales(rows: NDArray[np.float32], limit: int = PAIR_LIMIT) -> NDArray[np.float32]:
    """Per-row scales at which no two weights of one sign add up to more than `limit`; rows: (channels, weights)."""
    needed = np.abs(rows).max(axis=1) / 127.0
    for side in (rows, -rows):
        first, second = _two_largest(side)
        needed = np.maximum(needed, (first + second) / limit)
    scales: NDArray[np.float32] = np.maximum(needed, SMALLEST_SCALE).astype(np.float32)
    return scales


def _bounded(integers: NDArray[np.float32], limit: int) -> NDArray[np.float32]:
    """Clip the largest weights of each row until no pair of one sign exceeds `limit`."""
    for sign in (1.0, -1.0):
        first, second = _two_largest(integers * sign)
        over = first + second > limit
        if not over.any():
            continue
        cap = np.where(over, np.maximum(limit - second, limit // 2), 127.0)[:, None]
        integers = np.minimum(integers, cap) if sign > 0 else np.maximum(integers, -cap)
    return integers


def least_scales(bias: NDArray[np.float32], input_scale: np.float32) -> NDArray[np.float32]:
    """Smallest weight scale at which a channel's bias still fits int32 with scale s_x * s_w; shape of `bias`.

    A channel whose weights are tiny beside its bias (a dead one, whose batch norm was folded) would overflow.
    Half of int32 is left for the products that are added to it.
    """
    return np.asarray(np.abs(bias) / (float(input_scale) * 2.0**30), np.float32)


def weight_parameters(
    rows: NDArray[np.float32],
    *,
    pair_safe: bool,
    search: bool = True,
    least: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 weights per row, and their scales.

    Args:
        rows: float32, (channels, weights of one channel).
        pair_safe: bound every pair of one sign by 128, so that AVX2's 16-bit sums of two u8*s8
            products cannot saturate, whatever the order a kernel packs the weights in.
        search: choose per channel, among scales that clip the largest weights a little, the one of least
            squared error; otherwise the smallest scale that needs no clipping.
        least: smallest scale allowed per channel, (channels,); see `least_scales`.

    Returns:
        int8 (channels, weights) and float32 (channels,); a channel of zeros has the smallest, or 1.
    """
    limit = PAIR_LIMIT if pair_safe else 254
    floor = np.float32(SMALLEST_SCALE) if least is None else np.maximum(least, SMALLEST_SCALE)
    whole = np.maximum(safe_scales(rows, limit), floor)
    empty = ~np.any(rows, axis=1)
    best_scale = whole.copy()
    best = _bounded(np.clip(np.rint(rows / whole[:, None]), -127, 127).astype(np.float32), limit)
    if search:
        best_error = np.square(best * whole[:, None] - rows).sum(axis=1)
        for share in np.linspace(0.98, 0.5, 25, dtype=np.float32):
            scale = np.maximum(whole * share, floor)
            integers = _bounded(np.clip(np.rint(rows / scale[:, None]), -127, 127).astype(np.float32), limit)
            error = np.square(integers * scale[:, None] - rows).sum(axis=1)
            better = error < best_error
            best_error = np.where(better, error, best_error)
            best_scale = np.where(better, scale, best_scale)
            best = np.where(better[:, None], integers, best)
    # The step of a bias is s_x * s_w: where there is nothing but a bias, its step is as fine as int32 allows.
    best_scale = np.where(empty & (floor <= SMALLEST_SCALE), np.float32(1.0), best_scale).astype(np.float32)
    return best.astype(np.int8), best_scale
