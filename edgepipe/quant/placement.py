"""Which nodes run in int8, and which tensors are quantized for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

ANCHORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators with weights: where the arithmetic is."""
MERGING = ("Add", "Concat")
POOLING = ("GlobalAveragePool", "AveragePool")
PASSING = (
    "MaxPool",
    "Reshape",
    "Flatten",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Slice",
    "DepthToSpace",
    "SpaceToDepth",
)
"""Operators that move values and compute none: their output keeps the input's scale."""
CLIPPING = ("Relu", "Clip")
"""Operators that the quantization range itself performs, when the zero point sits at their lower bound."""


@dataclass
class Placement:
    """What to quantize.

    Attributes:
        nodes: int8 nodes, by name.
        tensors: activation tensors that get a QuantizeLinear and DequantizeLinear pair.
        same_as: tensor to the tensor whose scale it must share.
        kept_float: node name to the reason it stays float.
    """

    nodes: set[str] = field(default_factory=set)
    tensors: list[str] = field(default_factory=list)
    same_as: dict[str, str] = field(default_factory=dict)
    kept_float: dict[str, str] = field(default_factory=dict)


class Wiring:
    """Producers, consumers and constants of a graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.constants = {item.name: item for item in self.graph.initializer}
        self.producer = {output: node for node in self.graph.node for output in node.output if output}
        self.consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.graph.node:
            for name in node.input:
                self.consumers[name].append(node)
        self.outputs = {item.name for item in self.graph.output}
        self.inputs = {item.name for item in self.graph.input} - set(self.constants)

    def array(self, name: str) -> NDArray[np.float32] | None:
        """A constant's value, or None for a tensor that is computed or not float32."""
        item = self.constants.get(name)
        if item is None or item.data_type != onnx.TensorProto.FLOAT:
            return None
        return np.asarray(numpy_helper.to_array(item))

    def sole_consumer(self, name: str) -> onnx.NodeProto | None:
        """The only reader of a tensor that is no graph output."""
        readers = self.consumers[name]
        return readers[0] if len(readers) == 1 and name not in self.outputs else None


def attribute(node: onnx.NodeProto, name: str, default: float) -> float:
    """A number attribute of a node."""
    for item in node.attribute:
        if item.name == name:
            return float(onnx.helper.get_attribute_value(item))
    return default


def weight_axis(node: onnx.NodeProto) -> int:
    """The axis of a node's weight that counts output channels."""
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}[node.op_type]


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
    return None


def _clips_from_zero(node: onnx.NodeProto, wiring: Wiring) -> bool:
    if node.op_type == "Relu":
        return True
    low = wiring.array(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    return low is not None and float(low.reshape(-1)[0]) == 0.0


def place(model: onnx.ModelProto, excluded: Iterable[str]) -> Placement:
    """Decide for a prepared float model; `excluded` names nodes that stay float."""
    wiring = Wiring(model)
    skipped = set(excluded)
    placement = Placement()
    quantized: dict[str, None] = {}  # an ordered set

    def result_of(node: onnx.NodeProto) -> str:
        """The tensor to quantize after a node: behind the ReLU that the range will perform."""
        output: str = node.output[0]
        after = wiring.sole_consumer(output)
        if after is not None and after.op_type in CLIPPING and _clips_from_zero(after, wiring):
            return str(after.output[0])
        return output

    for node in model.graph.node:
        kind = node.op_type
        if node.domain not in ("", "ai.onnx"):
            continue
        if kind in ANCHORS:
            why = "excluded by the recipe" if node.name in skipped else _why_float(node, wiring)
            if why is not None:
                placement.kept_float[node.name] = why
                continue
            placement.nodes.add(node.name)
            quantized.setdefault(node.input[0])
            result = result_of(node)
            # A matrix product may hand out floats: its kernel dequantizes for free, and logits or a
            # following LayerNorm or GELU lose nothing.
            if kind == "Conv" or _wanted_in_int8(result, wiring):
                quantized.setdefault(result)
        elif node.name in skipped:
            continue
        elif kind in MERGING and all(name in quantized for name in node.input):
            placement.nodes.add(node.name)
            quantized.setdefault(result_of(node))
        elif kind in POOLING and node.input[0] in quantized:
            placement.nodes.add(node.name)
            quantized.setdefault(node.output[0])
        elif kind in PASSING and node.input[0] in quantized and _wanted_in_int8(node.output[0], wiring):
            placement.nodes.add(node.name)
            quantized.setdefault(node.output[0])
            placement.same_as[node.output[0]] = node.input[0]
    # The logits are computed from int8 but handed out in float: rounding them buys nothing.
    placement.tensors = [name for name in quantized if not _last_of_matmul(name, wiring)]
    return placement


def _last_of_matmul(name: str, wiring: Wiring) -> bool:
    producer = wiring.producer.get(name)
    return name in wiring.outputs and producer is not None and producer.op_type in ("Gemm", "MatMul")


_TAKES_INT8 = {*ANCHORS, *MERGING, *POOLING}


def _wanted_in_int8(name: str, wiring: Wiring) -> bool:
    """Whether some reader of a tensor, directly or behind moves, computes in int8."""
    for reader in wiring.consumers[name]:
        if reader.op_type in ("Conv", "Gemm", "MatMul"):
            if reader.input[0] == name and wiring.array(reader.input[1]) is not None:
                return True
        elif (
            reader.op_type in POOLING
            or reader.op_type == "Concat"
            or (reader.op_type in (*PASSING, *CLIPPING) and _wanted_in_int8(reader.output[0], wiring))
        ):
            return True
    return False
