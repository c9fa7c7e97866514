"""What lies behind the last layers with weights: little arithmetic, and answers that people read.

Boxes, scores and masks are made there, of tensors of different scales. Rounding such a tensor to 255 steps saves no
weights and hardly any time, and its error goes into the answer as it is: nothing behind averages it away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import prod

import onnx

from edgepipe.onnx.subgraphs import captured, subgraphs
from edgepipe.onnx.wiring import ANCHORS, Unit, Wiring

LAST_LAYER = "its result is an answer, which 255 steps would round, and in float it costs next to nothing"
MOST_TIME, MOST_BYTES = 0.03, 0.03
"""Of a network in int8, by the table of kernel costs and by its weights: what its last layers may cost in float."""
_RECURRENT = ("LSTM", "GRU", "RNN")


def behind_all_layers(wiring: Wiring) -> set[str]:
    """Outputs of nodes behind which no layer with weights follows, the last layers' own among them.

    What has subgraphs counts as a layer: there may be one inside.
    """
    found: set[str] = set()
    followed: set[str] = set()  # tensors that reach a layer with weights
    for node in reversed(wiring.graph.node):
        outputs = [name for name in node.output if name]
        if any(name in followed for name in outputs):
            followed.update((*node.input, *captured(node)))
            continue
        found.update(outputs)
        if _has_weights(node, wiring):
            followed.update((*node.input, *captured(node)))
    return found - followed


def _has_weights(node: onnx.NodeProto, wiring: Wiring) -> bool:
    if node.op_type in ANCHORS:
        return node.input[1] in wiring.constants
    return node.op_type in _RECURRENT or next(iter(subgraphs(node)), None) is not None


def light_ends(
    units: Sequence[Unit], wiring: Wiring, costs: Mapping[str, tuple[int, int]], moved: Collection[str]
) -> set[str]:
    """Names of the last convolutions that may as well stay float, the cheapest first, within the two budgets.

    Matrix products are none: their int8 kernel hands out floats.

    Args:
        costs: nanoseconds of each unit in float and in int8.
        moved: operators that only move values: what they hand on is an answer, too.
    """
    tail = behind_all_layers(wiring)
    weights = {u.node.name: prod(wiring.constants[u.node.input[1]].dims) for u in units if u.node.op_type in ANCHORS}
    ends = [
        unit
        for unit in units
        if unit.node.op_type == "Conv" and unit.writes[0] in tail and not _is_read_in_int8(unit, units, moved)
    ]
    time = MOST_TIME * sum(cost[1] for cost in costs.values())
    size = MOST_BYTES * sum(weights.values())
    found: set[str] = set()
    for unit in sorted(ends, key=lambda unit: weights[unit.node.name]):
        float32, int8 = costs[unit.node.name]
        time -= max(0, float32 - int8)
        size -= 3 * weights[unit.node.name]
        if time < 0 or size < 0:
            break
        found.add(unit.node.name)
    return found


def _is_read_in_int8(unit: Unit, units: Sequence[Unit], moved: Collection[str]) -> bool:
    """Whether something that computes in int8 reads a unit's result."""
    return any(name in other.reads for other in units if other.node.op_type not in moved for name in unit.writes)
