"""Recurrent layers: which have an int8 kernel, and weights that are stored as int8 for those that have none."""

from __future__ import annotations

from collections.abc import Collection

import onnx
from onnx import TensorProto, helper, numpy_helper

from edgepipe.models.subgraphs import Readers, all_graphs, drop_unread
from edgepipe.quant.embeddings import by_rows
from edgepipe.quant.names import fresh, tensor_names

RECURRENT = ("LSTM", "GRU", "RNN")
"""Operators with two weights, the second of the state."""

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
    readers, taken = Readers(graph), tensor_names(graph)
    for node in graph.node:
        for place in (1, 2) if node.op_type == "LSTM" else ():
            name = node.input[place]
            if name in stored and readers.sole(name) is None:
                node.input[place] = fresh(f"{name}_of_{node.name}", taken)
                taken.add(node.input[place])
                graph.initializer.append(
                    numpy_helper.from_array(numpy_helper.to_array(stored[name]), node.input[place])
                )
    drop_unread(graph)


def store_recurrent(model: onnx.ModelProto, exclude: Collection[str]) -> int:
    """Store the weights of GRU and RNN as int8 with a scale for each row, in place; returns how many nodes.

    ONNX Runtime has no int8 kernel for them: it makes floats of the weights once, when it loads the file, and computes
    as before.

    Args:
        exclude: names of nodes that stay as they are.
    """
    graph = model.graph
    stored = {item.name: item for item in graph.initializer if item.data_type == TensorProto.FLOAT}
    taken = tensor_names(graph)
    scaled: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    done = 0
    for node in graph.node:
        weights = [place for place in (1, 2) if node.op_type in ("GRU", "RNN") and node.input[place] in stored]
        if node.name in exclude or node.domain not in ("", "ai.onnx"):
            weights = []
        for place in weights:
            name = node.input[place]
            if name not in scaled:
                names = []
                for part in ("quantized", "scale", "float", "scaled"):
                    names.append(fresh(f"{name}_{part}", taken))
                    taken.add(names[-1])
                integers, scales = by_rows(numpy_helper.to_array(stored[name]))
                graph.initializer.append(numpy_helper.from_array(integers, names[0]))
                graph.initializer.append(numpy_helper.from_array(scales, names[1]))
                nodes.append(helper.make_node("Cast", [names[0]], [names[2]], names[2], to=TensorProto.FLOAT))
                nodes.append(helper.make_node("Mul", [names[2], names[1]], [names[3]], names[3]))
                scaled[name] = names[3]
            node.input[place] = scaled[name]
        done += bool(weights)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unread(graph)
    return done


def kinds_in(model: onnx.ModelProto) -> list[str]:
    """The operators of recurrent layers in a graph, each once."""
    return sorted({node.op_type for graph in all_graphs(model.graph) for node in graph.node} & set(RECURRENT))
