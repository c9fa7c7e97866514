"""Scales for which an int8 addition rounds the same on every processor.

ONNX Runtime adds two 8-bit tensors in float32, a * (s_a / s_c) + b * (s_b / s_c), with a fused multiply-add on some
processors and without on others, and they break ties differently: near a tie the results differ by one. When both
ratios are integers over the same odd number, no sum comes near a tie.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx

from edgepipe.quant.arithmetic.affine import largest_scale
from edgepipe.quant.place.placement import Placement

Parameters = tuple[np.float32, int]

_ODD = 1023  # sums stay 1/2046 away from a tie, far more than float32's error; a ratio moves by 1/1023 at most
_MOST_MOVED = 1.02
"""A summand that would move further stays as it is: it is so small that it moves the sum by a few steps at most."""


def exact_sums(
    nodes: Sequence[onnx.NodeProto],
    placement: Placement,
    parameters: dict[str, Parameters],
    most: Mapping[str, float],
) -> None:
    """Move, in place, the scales of what is added, from the last addition to the first; up where that is possible.

    Of two additions that share a summand, the earlier one moves its sum instead, unless that is a summand of a later
    one too.

    Args:
        nodes: of the float graph, in its order.
        parameters: scale and zero point by tensor.
        most: upper bound of a tensor that a Clip made. Its range stays below: the runtime would keep the Clip that the
            range performs, and with it the layer before the Clip in float.
    """
    users = {name: node for node in nodes for name in node.input}
    ties: dict[str, list[str]] = {}
    for name in parameters:
        ties.setdefault(_source(name, placement), []).append(name)
    fixed: set[str] = set()

    def settle(source: str, near: Iterable[float]) -> None:
        scale, zero = parameters[ties[source][0]]
        found = _nearest(scale, map(np.float32, near), largest_scale(most.get(source, math.inf), zero))
        for tied in ties[source]:
            parameters[tied] = (found, parameters[tied][1])
        fixed.add(source)

    for node in reversed(nodes):
        if node.op_type != "Add" or node.name not in placement.nodes:
            continue
        total = node.output[0]
        while total not in parameters and total in users and users[total].op_type in ("Relu", "Clip"):
            total = users[total].output[0]
        if total not in parameters:
            continue
        whole, summands = _source(total, placement), [name for name in node.input if name in parameters]
        held = [name for name in summands if _source(name, placement) in fixed]
        if held and whole not in fixed:
            scale = float(parameters[held[0]][0])
            settle(whole, [scale / item * _ODD for item in _beside(scale / float(parameters[total][0]) * _ODD)])
        fixed.add(whole)
        scale = float(parameters[total][0])
        for name in summands:
            if _source(name, placement) not in fixed:
                near = [scale * item / _ODD for item in _beside(float(parameters[name][0]) / scale * _ODD)]
                settle(_source(name, placement), near)


def _source(name: str, placement: Placement) -> str:
    while name in placement.same_as:
        name = placement.same_as[name]
    return name


def _beside(value: float) -> tuple[int, int]:
    """Whole numbers around a value, which is the first of them if it is nearly whole; none is below 1."""
    low = max(1, math.floor(value + 1e-3))
    return low, low + 1


def _nearest(scale: np.float32, near: Iterable[np.float32], largest: float) -> np.float32:
    """The smallest of `near` that is not below `scale`, else the largest below; not above `largest` nor far off."""
    allowed = [item for item in near if item <= np.float32(largest) and 1 / _MOST_MOVED <= item / scale <= _MOST_MOVED]
    larger = [item for item in allowed if item >= scale * (1 - 1e-6)]
    return min(larger) if larger else max(allowed, default=scale)
