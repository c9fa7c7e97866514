"""Multiply-accumulates for one example, layer by layer.

Counted: convolutions, transposed convolutions and matrix products (also between activations, as in
attention), in their float, quantized and few-bit forms. Not counted: additions, activations, pooling,
recurrent operators, tree ensembles, and layers inside the bodies of If, Loop and Scan.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod

from onnx import NodeProto

from edgepipe.measure.graph import INT8_LAYERS, LAYERS, Graph, Shape, attribute, stored_bytes
from edgepipe.metrics import LayerCost

# What quantizers and exporters append to a weight's name.
_SUFFIXES = ("_quantized", "_quant", "_q4", "_Q4", "_int8", ".weight", "_weight")

# Fused into the layer before them, whose node then carries their output's name.
_FUSED = {"Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "BatchNormalization", "Add", "Mul"}
_PASSING = _FUSED | {"QuantizeLinear", "DequantizeLinear", "Cast"}


@dataclass(frozen=True)
class Layer:
    """A layer and the node it comes from.

    Attributes:
        weight: name of the stored weight; None where both operands are activations.
        flow: the layer's output and the tensors after it while nothing else uses them.
    """

    node: NodeProto
    cost: LayerCost
    weight: str | None = None
    flow: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """`conv` or `matmul`."""
        return LAYERS[self.node.op_type].family


def layers(graph: Graph, example_shape: Shape) -> list[Layer]:
    """Convolutions and matrix products of the graph, in its order; costs are for one example."""
    nodes = [node for node in graph.model.graph.node if node.op_type in LAYERS]
    needed = {name for node in nodes for name in (node.output[0], node.input[LAYERS[node.op_type].activation])}
    shapes = graph.shapes(example_shape, needed)
    batch = graph.batch()
    titles = [_title(graph, node) for node in nodes]
    shared = Counter(titles)
    found = []
    for node, title in zip(nodes, titles, strict=True):
        weight = graph.weight_behind(node.input[LAYERS[node.op_type].weight])
        weight_shape = [] if weight is None else list(weight.dims)
        if node.op_type == "MatMulNBits":  # stored packed; what it multiplies by is (N, K)
            weight_shape = [int(attribute(node, "N", 0)), int(attribute(node, "K", 0))]
        activation = shapes.get(node.input[LAYERS[node.op_type].activation], ())
        count = macs(node, activation, tuple(weight_shape), shapes.get(node.output[0], ()))
        cost = LayerCost(
            name=title if shared[title] == 1 else f"{title} ({node.name or node.output[0]})",
            operator=node.op_type,
            weight_shape=weight_shape,
            weight_bytes=0 if weight is None else stored_bytes(weight),
            macs=count // batch,
            int8=node.op_type in INT8_LAYERS,
        )
        found.append(Layer(node, cost, None if weight is None else weight.name, _flow(graph, node)))
    return found


def macs(node: NodeProto, activation: Shape, weight: Shape, output: Shape) -> int:
    """Multiply-accumulates of one run of the node.

    Args:
        weight: `()` where both operands are activations.
    """
    kind = node.op_type
    if LAYERS[kind].family == "conv":
        # (M, C/g, k…) per output element; transposed: (C, M/g, k…) per input element.
        return prod(activation if kind == "ConvTranspose" else output) * prod(weight[1:]) if weight else 0
    if not activation or not output:
        return 0
    if kind == "MatMulNBits":
        return prod(output) * weight[1]
    transposed = attribute(node, "transA", 0)
    inner = activation[-2] if transposed and len(activation) > 1 else activation[-1]
    return prod(output) * inner


def _title(graph: Graph, node: NodeProto) -> str:
    """The weight's name without what tools append: `layer1.0.conv1`, the same before and after quantizing."""
    weight = graph.weight_behind(node.input[LAYERS[node.op_type].weight])
    title = "" if weight is None else weight.name
    while title.endswith(_SUFFIXES):
        title = next(title.removesuffix(suffix) for suffix in _SUFFIXES if title.endswith(suffix))
    return title or node.name or node.output[0]


def _flow(graph: Graph, node: NodeProto) -> tuple[str, ...]:
    """The layer's output and the tensors after it while nothing else uses them."""
    tensor = node.output[0]
    found = [tensor]
    for _ in range(6):
        users = graph.users.get(tensor, [])
        if len(users) != 1 or users[0][0].op_type not in _PASSING:
            break
        tensor = users[0][0].output[0]
        found.append(tensor)
    return tuple(found)
