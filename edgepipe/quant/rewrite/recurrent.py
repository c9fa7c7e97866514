"""Recurrent layers: which have an int8 kernel, and weights that are stored as int8 for those that have none."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgepipe.onnx.names import fresh, tensor_names
from edgepipe.onnx.subgraphs import all_graphs, subgraphs
from edgepipe.onnx.wiring import Wiring, drop_unread
from edgepipe.quant.rewrite.embeddings import by_rows

RECURRENT = ("LSTM", "GRU", "RNN")
"""Operators with two weights, the second of the state."""

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_SMALLEST = 512
"""Weights of a tensor that are worth four nodes more."""

ADVICE = {
    True: "quantize_dynamic in its place runs LSTM in int8",
    False: "ONNX Runtime has no int8 kernel for them; quantize_dynamic in its place stores their weights as int8",
}
"""What can be had for recurrent layers, by whether one is an LSTM."""


def part_shared_recurrent(model: onnx.ModelProto) -> None:
    """Give each LSTM weights of its own where somebody else reads them too, in place.

    ONNX Runtime's quantizer reshapes a weight where it lies, once for each of its readers.
    """
    graph = model.graph
    stored = {item.name: item for item in graph.initializer}
    wiring, taken = Wiring(graph), tensor_names(graph)
    for node in graph.node:
        for place in (1, 2) if node.op_type == "LSTM" else ():
            name = node.input[place]
            if name in stored and wiring.sole_consumer(name) is None:
                node.input[place] = fresh(f"{name}_of_{node.name}", taken)
                taken.add(node.input[place])
                graph.initializer.append(
                    numpy_helper.from_array(numpy_helper.to_array(stored[name]), node.input[place])
                )
    drop_unread(graph)


def store_recurrent(model: onnx.ModelProto, exclude: Collection[str]) -> int:
    """Store weights that no int8 kernel takes as int8 with a scale for each row, in place; returns of how many nodes.

    Those of GRU and RNN, and of all layers inside of If, Loop and Scan, convolutions too: some exporters write a
    recurrence so, or whole networks, one for each rate of the sound that comes in.
    ONNX Runtime makes floats of them once, when it loads the file, and computes as before.

    Args:
        exclude: names of nodes that stay as they are.
    """
    graph = model.graph
    taken = tensor_names(graph)
    outside = {item.name: item for item in graph.initializer}
    made: list[onnx.NodeProto] = []
    scaled: dict[tuple[int, str], str] = {}
    done = 0
    for number, inside in enumerate(all_graphs(graph)):
        own = {item.name: item for item in inside.initializer}
        hidden = {name for node in inside.node for name in node.output} | {item.name for item in inside.input}
        for node in inside.node:
            found = 0
            for place in _places(node, inside is graph) if node.name not in exclude or not node.name else ():
                name = node.input[place]
                home = number if name in own else 0
                item = own.get(name) or (None if name in hidden else outside.get(name))
                if item is None or item.data_type != TensorProto.FLOAT or prod(item.dims) < _SMALLEST:
                    continue
                if (home, name) not in scaled:
                    names = []
                    for part in ("quantized", "scale", "float", "scaled"):
                        names.append(fresh(f"{name}_{part}", taken))
                        taken.add(names[-1])
                    integers, scales = _stored(node, numpy_helper.to_array(item))
                    graph.initializer.append(numpy_helper.from_array(integers, names[0]))
                    graph.initializer.append(numpy_helper.from_array(scales, names[1]))
                    made.append(helper.make_node("Cast", [names[0]], [names[2]], names[2], to=TensorProto.FLOAT))
                    made.append(helper.make_node("Mul", [names[2], names[1]], [names[3]], names[3]))
                    scaled[home, name] = names[3]
                node.input[place] = scaled[home, name]
                found += 1
            done += bool(found)
    nodes = [*made, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unread(graph)
    return done


def _stored(node: onnx.NodeProto, values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 of the same shape, and float32 to multiply with: of a convolution, one for each first index."""
    if node.op_type not in _CONVOLUTIONS:
        return by_rows(values)
    integers, scales = by_rows(values.reshape(len(values), -1))
    return integers.reshape(values.shape), scales.reshape(-1, *[1] * (values.ndim - 1))


def _places(node: onnx.NodeProto, outermost: bool) -> tuple[int, ...]:
    """Which inputs of a node are weights that no int8 kernel takes."""
    if node.domain not in ("", "ai.onnx"):
        return ()
    if node.op_type == "Loop":  # a weight that the body is handed from one step to the next
        body = next(subgraphs(node))
        read = {inner.input[place] for inner in body.node for place in _places(inner, False)}
        return tuple(place for place, item in enumerate(body.input) if place >= 2 and item.name in read)
    if node.op_type in ("GRU", "RNN") or (node.op_type == "LSTM" and not outermost):
        return (1, 2)
    return (1,) if node.op_type in ("MatMul", "Gemm", *_CONVOLUTIONS) and not outermost else ()


def kinds_in(model: onnx.ModelProto) -> list[str]:
    """The operators of recurrent layers in a graph, each once."""
    return sorted({node.op_type for graph in all_graphs(model.graph) for node in graph.node} & set(RECURRENT))
