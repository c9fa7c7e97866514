"""The wires of a graph: who makes a tensor, who reads it, which are constants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgepipe.onnx.subgraphs import Readers

ANCHORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators with weights: where the arithmetic is."""


@dataclass(frozen=True)
class Unit:
    """A node that can run in int8.

    Attributes:
        reads: activations it takes in int8.
        writes: tensors it hands on; behind the ReLU that its range performs.
        hands_out_float: its int8 kernel may dequantize its result at no cost.
    """

    node: onnx.NodeProto
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    hands_out_float: bool = False


class Wiring:
    """Producers, consumers and constants of a graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.constants = {item.name: item for item in self.graph.initializer}
        self.producer = {output: node for node in self.graph.node for output in node.output if output}
        self.readers = Readers(self.graph)
        self.consumers, self.outputs = self.readers.nodes, self.readers.outputs
        self.inputs = {item.name for item in self.graph.input} - set(self.constants)

    def array(self, name: str) -> NDArray[np.float32] | None:
        """A constant's value, or None for a tensor that is computed or not float32."""
        item = self.constants.get(name)
        if item is None or item.data_type != onnx.TensorProto.FLOAT:
            return None
        return np.asarray(numpy_helper.to_array(item))

    def sole_consumer(self, name: str) -> onnx.NodeProto | None:
        """The only reader of a tensor that is no graph output."""
        return self.readers.sole(name)


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


def is_unknown_pool(node: onnx.NodeProto) -> bool:
    """Whether an AveragePool has what its int8 kernel does not know, as dilations: no session opens with it."""
    known = {"auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"}
    return not {item.name for item in node.attribute} <= known
