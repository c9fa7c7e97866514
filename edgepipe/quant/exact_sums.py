"""Scales for which an int8 addition rounds the same on every processor.

ONNX Runtime adds two 8-bit tensors in float32, a * (s_a / s_c) + b * (s_b / s_c), with a fused multiply-add on some
processors and without on others, and they break ties differently: near a tie the results differ by one. When both
ratios are integers over the same odd number, no sum comes near a tie.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from edgepipe.quant.placement import Placement

Parameters = tuple[np.float32, int]

_ODD = 1023  # sums stay 1/2046 away from a tie, far more than float32's error; a ratio moves by 1/1023 at most


def exact_sums(
    nodes: Sequence[onnx.NodeProto],
    placement: Placement,
    parameters: dict[str, Parameters],
    most: Mapping[str, float],
) -> None:
    """Widen, in place, the scales of what is added, from the last addition to the first.

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
    for node in reversed(nodes):
        if node.op_type != "Add" or node.name not in placement.nodes:
            continue
        total = node.output[0]
        while total not in parameters and total in users and users[total].op_type in ("Relu", "Clip"):
            total = users[total].output[0]
        if total not in parameters:
            continue
        fixed.add(_source(total, placement))
        for name in node.input:
            source = _source(name, placement)
            if name not in parameters or source in fixed:
                continue
            fixed.add(source)
            scale, zero = parameters[name]
            largest = most.get(source, math.inf) / (255 - zero) if zero < 255 else math.inf
            scale = _off_ties(scale, parameters[total][0], largest)
            for tied in ties[source]:
                parameters[tied] = (scale, parameters[tied][1])


def _source(name: str, placement: Placement) -> str:
    while name in placement.same_as:
        name = placement.same_as[name]
    return name


def _off_ties(scale: np.float32, total: np.float32, largest: float = math.inf) -> np.float32:
    """The next larger scale whose quotient by `total` is an integer over `_ODD`; the next smaller above `largest`."""
    integer = max(1, math.ceil(float(scale) / float(total) * _ODD - 1e-3))
    if np.float32(integer / _ODD * float(total)) > np.float32(largest):
        integer = max(1, integer - 1)
    return np.float32(integer / _ODD * float(total))
