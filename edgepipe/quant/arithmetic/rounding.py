"""Learned rounding: integers whose layer answers nearest to the float layer on the calibration examples.

Rounding every weight to the nearest step is best for the weights and not for what the layer computes. Here the
weights of a channel are decided one after another, and each takes up the error that those before it made, weighed
by how their inputs go together. It is Babai's nearest plane in the lattice of the inputs' second moment, which is
GPTQ with its columns in the opposite order.

Source: Frantar et al., GPTQ, ICLR 2023, arXiv:2210.17323; Chen et al., The Geometry of LLM Quantization: GPTQ as
Babai's Nearest Plane Algorithm, 2025, arXiv:2507.18553.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgepipe.quant.arithmetic.affine import PAIR_LIMIT

Floats = NDArray[np.float32]
_DAMPING = 0.01
"""Share of the mean of the diagonal that is added to it: few examples must not bend the weights to themselves."""
_BLOCK = 64


def learned_rounding(
    rows: Floats, scales: Floats, nearest: NDArray[np.int8], moments: Floats, *, pair_safe: bool
) -> NDArray[np.int8]:
    """Integers of the rows' shape that lessen the error of what the layer computes.

    Args:
        rows: float32, (groups, channels of a group, length of a column).
        scales: float32, (groups, channels of a group), one step per channel.
        nearest: int8, shape of `rows`: the starting point, which bounds the pair sums of a saturation-safe weight.
        moments: float32, (groups, length, length): second moment of the columns.
    """
    diagonal = np.einsum("gii->gi", moments)
    mean = np.maximum(diagonal.mean(axis=1), 1e-12)
    # An input that is always zero decides nothing; damping keeps its weight at the nearest step.
    damped = moments.copy()
    np.einsum("gii->gi", damped)[...] += (_DAMPING * mean)[:, None]
    order = np.argsort(diagonal, axis=1, kind="stable")  # decided from the last: the strongest inputs first
    permuted = np.take_along_axis(np.take_along_axis(damped, order[:, :, None], 1), order[:, None, :], 2)
    lower = _cholesky(permuted.astype(np.float64))
    upper = np.ascontiguousarray(lower.transpose(0, 2, 1)).astype(np.float32)
    weights = np.take_along_axis(rows, order[:, None, :], 2)
    low, high = (np.take_along_axis(cap, order[:, None, :], 2) for cap in _caps(nearest, pair_safe=pair_safe))
    integers = np.empty_like(weights)
    errors = np.zeros_like(weights)
    carried = np.zeros_like(weights)  # what earlier blocks ask of each weight
    step = np.maximum(scales, np.float32(1e-12))
    for end in range(weights.shape[2], 0, -_BLOCK):
        start = max(0, end - _BLOCK)
        for i in range(end - 1, start - 1, -1):
            inside = np.matmul(errors[:, :, i + 1 : end], upper[:, i, i + 1 : end, None])[..., 0]
            wanted = weights[:, :, i] + (inside + carried[:, :, i]) / upper[:, i, i][:, None]
            integers[:, :, i] = np.clip(np.rint(wanted / step), low[:, :, i], high[:, :, i])
            errors[:, :, i] = weights[:, :, i] - integers[:, :, i] * step
        if start:
            block = upper[:, :start, start:end]
            carried[:, :, :start] += np.matmul(errors[:, :, start:end], block.transpose(0, 2, 1))
    back = np.argsort(order, axis=1, kind="stable")
    learned = np.take_along_axis(integers, back[:, None, :], 2)
    better = output_error(rows, learned, step, damped) < output_error(rows, nearest, step, damped)
    return np.where(better, learned, nearest).astype(np.int8)


def _cholesky(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of matrices that float32 sums may have left a little short of positive definite: an input that never moves."""
    strongest = np.abs(moments).max(axis=(1, 2), keepdims=True) + 1e-30
    for more in (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2):
        raised = moments
        if more:
            raised = moments.copy()
            np.einsum("gii->gi", raised)[...] += more * strongest[:, :, 0]
        try:
            return np.asarray(np.linalg.cholesky(raised))
        except np.linalg.LinAlgError:
            continue
    # Nothing but roundoff: each weight is for itself, which is rounding to the nearest.
    diagonal = np.maximum(np.einsum("gii->gi", moments), 1e-30)
    return np.asarray(np.sqrt(diagonal)[:, :, None] * np.eye(moments.shape[1]))


def output_error(rows: Floats, integers: NDArray[np.generic], step: Floats, moments: Floats) -> Floats:
    """Error of each channel, (groups, channels, 1)."""
    error = rows - integers.astype(np.float32) * step[:, :, None]
    return np.asarray((np.matmul(error, moments) * error).sum(axis=2, keepdims=True))


def _caps(nearest: NDArray[np.int8], *, pair_safe: bool) -> tuple[Floats, Floats]:
    """Smallest and largest integer of each weight, such that no choice within them lets a pair of one sign overflow.

    The largest weight of a row keeps its size, and all others stay within what that leaves of the pair limit.
    """
    bounds = []
    for sign in (-1, 1):
        sided = nearest.astype(np.float32) * sign
        if not pair_safe:
            bounds.append(np.full_like(sided, sign * 127.0))
            continue
        first = sided.argmax(axis=2, keepdims=True)
        top = np.clip(np.take_along_axis(sided, first, 2), PAIR_LIMIT / 2, 127)
        cap = np.broadcast_to(PAIR_LIMIT - top, sided.shape).copy()
        np.put_along_axis(cap, first, top, 2)
        bounds.append(cap * sign)
    return bounds[0], bounds[1]
