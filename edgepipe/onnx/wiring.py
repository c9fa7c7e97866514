"""The wires of a graph: who makes a tensor, who reads it, which are constants."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgepipe.onnx.inputs import inputs_of
from edgepipe.onnx.subgraphs import all_graphs, captured

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
    """Who makes a tensor of a graph, who reads it, and which are constants; whoever rewrites a graph asks here.

    Args:
        of: a model, for its outermost graph, or any graph of one.

    Attributes:
        constants: by name, the tensors that are stored.
        producer: by tensor the node, one of the graph's own, that makes it.
        consumers: by tensor its readers among the graph's own nodes, one entry for each input; a node whose subgraphs
            read the tensor is one of them.
        inside: tensors that a subgraph reads, which knows them by their name only.
        inputs, outputs: tensors that enter and leave the graph.
    """

    def __init__(self, of: onnx.ModelProto | onnx.GraphProto) -> None:
        self.graph = of.graph if isinstance(of, onnx.ModelProto) else of
        self.constants = {item.name: item for item in self.graph.initializer}
        self.producer = {output: node for node in self.graph.node for output in node.output if output}
        self.consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        self.inside: set[str] = set()
        for node in self.graph.node:
            within = list(captured(node))
            self.inside.update(within)
            for name in (*node.input, *within):
                self.consumers[name].append(node)
        self.inputs = {item.name for item in inputs_of(self.graph)}
        self.outputs = {item.name for item in self.graph.output}

    def array(self, name: str) -> NDArray[np.float32] | None:
        """A constant's value, or None for a tensor that is computed or not float32."""
        item = self.constants.get(name)
        if item is None or item.data_type != onnx.TensorProto.FLOAT:
            return None
        return np.asarray(numpy_helper.to_array(item))

    def sole_consumer(self, name: str) -> onnx.NodeProto | None:
        """The only reader of a tensor that is no graph output."""
        found = self.consumers.get(name, ())
        return found[0] if len(found) == 1 and name not in self.outputs else None

    def is_read(self, name: str) -> bool:
        """Whether anybody reads the tensor."""
        return name in self.outputs or bool(self.consumers.get(name))


def drop_unread(graph: onnx.GraphProto) -> None:
    """Remove the initializers that nobody reads, in place; in the graph and inside of its nodes."""
    for inside in all_graphs(graph):
        wiring = Wiring(inside)
        fed = {item.name for item in inside.input} if inside is not graph else set()
        for stored in (inside.initializer, inside.sparse_initializer):
            names = [getattr(item, "values", item).name for item in stored]
            gone = [place for place, name in enumerate(names) if name not in fed and not wiring.is_read(name)]
            for place in reversed(gone):
                del stored[place]


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
