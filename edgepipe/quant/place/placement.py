"""Which nodes run in int8, and which tensors are quantized for them.

Two questions: what can (there is a kernel, and its inputs can be had in int8), and what is worth it
(`worth.cheapest`: a minimum cut between int8 and float over a table of kernel costs).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import onnx

from edgepipe.onnx.wiring import ANCHORS, Unit, Wiring, attribute, is_unknown_pool, weight_axis
from edgepipe.quant.place.tail import LAST_LAYER, behind_all_layers, light_ends
from edgepipe.quant.place.worth import all_costs, cheapest, predicted

__all__ = ["KeepFloat", "Placement", "Wiring", "attribute", "milliseconds", "place", "weight_axis"]

KeepFloat = Literal["auto", "never"]

MERGING = ("Add", "Concat", "Mul")
"""Mul is the gate of a squeeze-excite block, and the second half of SiLU and HardSwish."""
POOLING = ("GlobalAveragePool", "AveragePool")
CURVES = ("Sigmoid", "HardSigmoid", "LeakyRelu", "Relu")
"""Functions of one value: the int8 kernel looks 256 results up; see `curves` for the two without a kernel."""
PASSING = (
    "MaxPool",
    "Reshape",
    "Flatten",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Slice",
    "Split",
    "DepthToSpace",
    "SpaceToDepth",
)
"""Operators that move values and compute none: their outputs keep the input's scale."""
CLIPPING = ("Relu", "Clip")
"""Operators that the quantization range itself performs, when the zero point sits at their lower bound."""
NOT_WORTH_IT = "int8 would not be faster here"
TOO_FAR_APART = "values that are far apart would share one int8 scale"


@dataclass
class Placement:
    """What to quantize.

    Attributes:
        nodes: int8 nodes, by name.
        tensors: activation tensors that get a QuantizeLinear and DequantizeLinear pair.
        same_as: tensor to the tensor whose scale it must share.
        limits: tensor to the (low, high) beyond which all its readers are flat: no step is spent there.
        kept_float: node name to the reason it stays float.
    """

    nodes: set[str] = field(default_factory=set)
    tensors: list[str] = field(default_factory=list)
    same_as: dict[str, str] = field(default_factory=dict)
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    kept_float: dict[str, str] = field(default_factory=dict)


def place(
    model: onnx.ModelProto,
    excluded: Iterable[str],
    keep_float: KeepFloat = "auto",
    barred: Collection[str] = (),
) -> Placement:
    """Decide for a prepared float model.

    Args:
        excluded: names of nodes that stay float.
        keep_float: `auto` leaves in float what int8 would not make faster, and small convolutions whose results are
            answers; `never` runs every convolution and matrix product in int8 that has a kernel, and what lies
            between them as is cheapest. What computes behind the last of them stays float with both.
        barred: activation tensors that are not quantized.
    """
    wiring = Wiring(model)
    placement = Placement()
    units = list(_units(wiring, set(excluded), placement.kept_float, barred))
    if keep_float == "auto":
        ends = light_ends(units, wiring, all_costs(model, wiring, units), PASSING)
        placement.kept_float.update(dict.fromkeys(ends, LAST_LAYER))
        if ends:  # what only moves their results stays float with them
            units = list(_units(wiring, {*excluded, *ends}, {}, barred))
    chosen = cheapest(model, wiring, units, forced=keep_float == "never")
    for unit in units:
        if unit.node.name not in chosen and unit.node.op_type in ANCHORS:
            placement.kept_float[unit.node.name] = NOT_WORTH_IT
    chosen_units = [unit for unit in units if unit.node.name in chosen]
    placement.nodes = {unit.node.name for unit in chosen_units}
    read_in_int8 = {name for unit in chosen_units for name in unit.reads}
    tensors: dict[str, None] = {}  # an ordered set
    for unit in chosen_units:
        tensors.update(dict.fromkeys(unit.reads))
        # A matrix product may hand out floats: logits or a following LayerNorm or GELU lose nothing.
        handed = [name for name in unit.writes if name in read_in_int8 or not unit.hands_out_float]
        tensors.update(dict.fromkeys(handed))
        if unit.node.op_type in PASSING:
            placement.same_as.update(dict.fromkeys(handed, unit.reads[0]))
    placement.tensors = list(tensors)
    placement.limits = {name: found for name in tensors if (found := _flat_beyond(name, wiring)) is not None}
    return placement


def milliseconds(model: onnx.ModelProto) -> Callable[[set[str]], float]:
    """A function from the names of int8 nodes to the time that the table of kernel costs predicts."""
    wiring = Wiring(model)
    return predicted(model, wiring, list(_units(wiring, set(), {})))


def _units(
    wiring: Wiring, skipped: set[str], kept_float: dict[str, str], barred: Collection[str] = ()
) -> Iterator[Unit]:
    """What has an int8 kernel and inputs that may be int8, in the graph's order; says why anchors have none."""
    reasons = {node.name: _why_float(node, wiring) for node in wiring.graph.node if node.op_type in ANCHORS}
    for node in wiring.graph.node if barred else ():
        if reasons.get(node.name, "") is None and _touches(node, barred, clip_behind(node, wiring, skipped)):
            reasons[node.name] = TOO_FAR_APART
    # Tensors that are int8 or may become it at the cost of quantizing them.
    within = {
        node.input[0] for node in wiring.graph.node if node.name not in skipped and reasons.get(node.name, "") is None
    }
    absorbed: set[str] = set()
    tail = behind_all_layers(wiring)
    for node in wiring.graph.node:
        kind = node.op_type
        if kind in (*MERGING, *POOLING, *CURVES) and node.output[0] in tail:
            continue
        if node.domain not in ("", "ai.onnx") or node.name in absorbed:
            continue
        if kind in ANCHORS and (node.name in skipped or reasons[node.name] is not None):
            kept_float[node.name] = reasons[node.name] or "excluded by the recipe"
            continue
        if node.name in skipped:
            continue
        if kind in ANCHORS or (kind in MERGING and all(name in within for name in node.input)):
            after = clip_behind(node, wiring, skipped)
            writes = node.output[0] if after is None else after.output[0]
            absorbed |= set() if after is None else {after.name}
            reads = node.input[:1] if kind in ANCHORS else node.input
            unit = Unit(node, tuple(dict.fromkeys(reads)), (writes,), kind in ("Gemm", "MatMul"))
        elif (
            kind in (*POOLING, *PASSING)
            and node.input[0] in within
            and not (kind == "AveragePool" and is_unknown_pool(node))
        ):
            unit = Unit(node, (node.input[0],), tuple(node.output[:1] if kind == "MaxPool" else node.output))
        elif kind in CURVES and node.input[0] in within and _is_looked_up(node, wiring):
            unit = Unit(node, (node.input[0],), (node.output[0],))
        else:
            continue
        if not unit.hands_out_float and any(name in barred for name in unit.writes):
            continue
        within.update(name for name in unit.writes if name not in barred)
        yield unit


def _touches(layer: onnx.NodeProto, barred: Collection[str], clip: onnx.NodeProto | None) -> bool:
    """Whether a layer reads a barred tensor in int8, or would have to write one so."""
    written = layer.output[0] if clip is None else clip.output[0]
    return layer.input[0] in barred or (layer.op_type == "Conv" and written in barred)


def _is_looked_up(node: onnx.NodeProto, wiring: Wiring) -> bool:
    if node.op_type == "HardSigmoid" and (
        attribute(node, "alpha", 0.2) <= 0 or not 0 <= attribute(node, "beta", 0.5) <= 1
    ):
        return False  # `curves` needs it to rise, and 0 to lie where it rises
    if node.op_type == "HardSigmoid" and node.output[0] in wiring.inside:
        return False  # `curves` leaves its result to the rounding behind it, which a subgraph does not see
    return not _is_answer(node.output[0], wiring)


def _is_answer(name: str, wiring: Wiring) -> bool:
    """Whether a tensor leaves the network, perhaps in another shape: whoever reads it tells its values apart."""
    return name in wiring.outputs or any(
        _is_answer(output, wiring)
        for node in wiring.consumers[name]
        if node.op_type in (*PASSING, "Identity", "Cast")
        for output in node.output
    )


def _why_float(node: onnx.NodeProto, wiring: Wiring) -> str | None:
    weight = wiring.array(node.input[1])
    if weight is None:
        return "its weight is not a float32 constant"
    if wiring.array(node.input[0]) is not None:
        return "its input is a constant"
    if node.op_type == "Gemm" and (
        attribute(node, "alpha", 1) != 1 or attribute(node, "beta", 1) != 1 or attribute(node, "transA", 0)
    ):
        return "its alpha, beta or transA is unusual"
    if node.op_type in ("Gemm", "MatMul") and weight.ndim != 2:
        return f"its weight has {weight.ndim} axes; the int8 kernel takes 2"
    if node.op_type == "ConvTranspose":
        return "ONNX Runtime has no int8 kernel for ConvTranspose"
    if len(node.input) > 2 and node.input[2] and wiring.array(node.input[2]) is None:
        return "its bias is not a float32 constant"
    if node.op_type == "Gemm" and len(node.input) > 2 and node.input[2]:
        shape = list(wiring.constants[node.input[2]].dims)
        if any(side != 1 for side in shape[:-1]):
            return "its bias is not one for each output channel"
    return None


def clip_behind(node: onnx.NodeProto, wiring: Wiring, skipped: Collection[str] = ()) -> onnx.NodeProto | None:
    """The ReLU or Clip behind a node that the node's quantization range will perform."""
    after = wiring.sole_consumer(node.output[0])
    if after is None or after.op_type not in CLIPPING or after.name in skipped:
        return None
    if after.op_type == "Clip":
        low = wiring.array(after.input[1]) if len(after.input) > 1 and after.input[1] else None
        if low is None or float(low.reshape(-1)[0]) != 0.0:
            return None
        if len(after.input) > 2 and after.input[2] and wiring.array(after.input[2]) is None:
            return None  # a bound that is computed: the runtime keeps the Clip
    return after


def upper_bound(name: str, wiring: Wiring) -> float:
    """The constant bound of the Clip that made a tensor; infinity for any other."""
    producer = wiring.producer.get(name)
    if producer is None or producer.op_type != "Clip" or len(producer.input) < 3 or not producer.input[2]:
        return math.inf
    bound = wiring.array(producer.input[2])
    return math.inf if bound is None or float(bound.reshape(-1)[0]) <= 0 else float(bound.reshape(-1)[0])


SIGMOID_IS_FLAT = 8.0
"""sigmoid(-8) = 0.0003 and silu(-8) = -0.003: a tenth of a step of their int8 results at most."""


def _flat_beyond(name: str, wiring: Wiring) -> tuple[float, float] | None:
    """(low, high) beyond which all readers of a tensor are flat, or None.

    Behind a gate (`x * sigmoid(x)`) only the low side is: HardSwish is 0 below -3, exactly.
    """
    readers = wiring.consumers[name]
    curves = [node for node in readers if node.op_type in ("Sigmoid", "HardSigmoid")]
    others = [node for node in readers if node not in curves]
    if not curves or name in wiring.outputs or any(_is_answer(node.output[0], wiring) for node in curves):
        return None  # of two classes beyond 8 the larger one is the answer
    ends = [_curve_ends(node) for node in curves]
    known = [end for end in ends if end is not None]
    if len(known) < len(ends):
        return None
    low, high = min(end[0] for end in known), max(end[1] for end in known)  # flat for each of them
    if not others:
        return low, high
    gates = all(node.op_type == "Mul" and _gated_by(node, name, curves) for node in others)
    return (low, np.inf) if gates else None


def _curve_ends(node: onnx.NodeProto) -> tuple[float, float] | None:
    """(low, high) beyond which a Sigmoid or HardSigmoid is flat."""
    if node.op_type == "Sigmoid":
        return -SIGMOID_IS_FLAT, SIGMOID_IS_FLAT
    alpha, beta = attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)
    return (-beta / alpha, (1 - beta) / alpha) if alpha > 0 and 0 <= beta <= 1 else None


def _gated_by(gate: onnx.NodeProto, name: str, curves: list[onnx.NodeProto]) -> bool:
    return any(set(gate.input) == {name, curve.output[0]} for curve in curves)
