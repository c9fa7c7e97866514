"""Multiply-accumulates for one example, layer by layer.

Counted: convolutions, transposed and deformable ones, matrix products (also between activations, as in attention),
einsums, recurrent layers and linear models, in their float, quantized and few-bit forms, and as often as the bodies
of If, Loop and Scan run on an example of zeros, with the data's whole numbers. Not counted: additions, activations,
pooling, tree ensembles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from onnx import NodeProto

from edgepipe.onnx.bodies import ran_inside
from edgepipe.onnx.examples import ExampleShapes
from edgepipe.onnx.graph import Graph, stored_bytes
from edgepipe.onnx.names import layer_name
from edgepipe.onnx.operators import INT8_LAYERS, LAYERS, Shape, attribute, is_uncounted, macs
from edgepipe.records.metrics import LayerCost

# Fused into the layer before them, whose node then carries their output's name.
_FUSED = {"Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "BatchNormalization", "Add", "Mul"}
_PASSING = _FUSED | {"QuantizeLinear", "DequantizeLinear", "Cast"}


@dataclass(frozen=True)
class Layer:
    """A layer and the node it comes from.

    Attributes:
        weight: name of the stored weight; None where both operands are activations.
        flow: the layer's output and the tensors after it while nothing else uses them.
        counted: whether its multiply-accumulates are known; else they are told as 0.
    """

    node: NodeProto
    cost: LayerCost
    weight: str | None = None
    flow: tuple[str, ...] = ()
    counted: bool = True

    @property
    def family(self) -> str:
        """`conv` or `matmul`."""
        return LAYERS[self.node.op_type].family


def layers(graph: Graph, example_shape: ExampleShapes) -> list[Layer]:
    """Layers of the graph, in its order and behind them those of bodies; costs are for one example."""
    own = [node for node in graph.model.graph.node if node.op_type in LAYERS]
    inner = [node for node in graph.inner if node.op_type in LAYERS]
    needed = {name for node in own for name in (node.output[0], *node.input) if name and name not in graph.stored}
    shapes: dict[str, Shape | None] = {**graph.shapes(example_shape, needed)}
    ran = ran_inside(graph, inner, example_shape) if inner else {}
    batch = graph.batch(example_shape)
    titles = [_title(graph, node) for node in (*own, *inner)]
    shared = Counter(titles)
    found = []
    for number, (node, title) in enumerate(zip((*own, *inner), titles, strict=True)):
        weight = graph.weight_of(node)
        weight_shape = [] if weight is None else list(weight.dims)
        if node.op_type in ("MatMulNBits", "MatMulBnb4"):  # stored packed; what it multiplies by is (N, K)
            weight_shape = [int(attribute(node, "N", 0)), int(attribute(node, "K", 0))]
        if number < len(own):
            count = macs(node, graph.input_shapes(node, shapes), shapes.get(node.output[0]))
        else:
            count = ran.get(id(node))
        cost = LayerCost(
            name=title if shared[title] == 1 else f"{title} ({node.name or node.output[0]})",
            operator=node.op_type,
            weight_shape=weight_shape,
            weight_bytes=sum(map(stored_bytes, graph.weights_of(node))),
            macs=(count or 0) // batch,
            int8=node.op_type in INT8_LAYERS,
        )
        name = None if weight is None else weight.name
        found.append(Layer(node, cost, name, _flow(graph, node), counted=count is not None))
    return found


def uncounted(graph: Graph, found: Sequence[Layer]) -> list[str]:
    """Operators of the graph that multiply, or may, without being counted; in the order of the alphabet."""
    unknown = {layer.node.op_type for layer in found if not layer.counted}
    return sorted(unknown | {node.op_type for node in graph.nodes if is_uncounted(node)})


def _title(graph: Graph, node: NodeProto) -> str:
    """The weight's name without what tools append: `layer1.0.conv1`, the same before and after quantizing."""
    weight = graph.weight_of(node)
    title = "" if weight is None else layer_name(weight.name)
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
