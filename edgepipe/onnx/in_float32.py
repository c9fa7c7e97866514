"""A graph of float16, bfloat16 or float64 as one of float32, which quantizers, pruning and measurements know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, numpy_helper, shape_inference

from edgepipe.onnx.messages import messages
from edgepipe.onnx.subgraphs import all_graphs, read_instead
from edgepipe.onnx.wiring import Wiring

if TYPE_CHECKING:
    import onnx

_TYPE_ATTRIBUTES = frozenset({"to", "dtype", "output_dtype", "stash_type", "softmax_precision", "precision"})
"""Attributes of ONNX's operators that name a type of elements."""


def kinds() -> dict[int, tuple[str, float]]:
    """By element type its name and how far, as a share of the largest answer, float32 may answer otherwise."""

    return {
        TensorProto.FLOAT16: ("float16", 0.05),
        TensorProto.BFLOAT16: ("bfloat16", 0.1),
        TensorProto.DOUBLE: ("float64", 1e-4),
    }


def other_float(network: onnx.ModelProto) -> int | None:
    """The float type, not float32, that a graph takes, gives or keeps its layers' weights in; None: there is none.

    A number alone (a scale, a limit) that an exporter wrote in float64 makes no graph of float64.
    """

    known = kinds()
    ends = [item.type.tensor_type.elem_type for item in (*network.graph.input, *network.graph.output)]
    weights = {
        item.data_type: item for item in messages(network.graph, TensorProto) if len(item.dims) > 1 and all(item.dims)
    }
    return next((kind for kind in (*ends, *weights) if kind in known), None)


def to_float32(network: onnx.ModelProto) -> None:
    """Make every tensor, type and attribute of another float type float32, in place; casts between them go.

    float16 and bfloat16 lose nothing; numbers of float64 beyond float32's range become its largest.
    """

    known = kinds()
    for item in messages(network, TensorProto):
        if item.data_type in known:
            item.CopyFrom(numpy_helper.from_array(_narrowed(numpy_helper.to_array(item)), item.name))
    kinds_of_type: tuple[Any, ...] = (TypeProto.Tensor, TypeProto.SparseTensor)
    for typed in (item for kind in kinds_of_type for item in messages(network, kind)):
        if typed.elem_type in known:
            typed.elem_type = TensorProto.FLOAT
    for node in messages(network, NodeProto):
        for attribute in node.attribute:
            if (
                attribute.name in _TYPE_ATTRIBUTES
                and attribute.type == AttributeProto.INT
                and attribute.i in known
                and node.domain in ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
            ):
                attribute.i = TensorProto.FLOAT
    _drop_casts(network)


def _narrowed(value: NDArray[Any]) -> NDArray[np.float32]:
    limit = float(np.finfo(np.float32).max)
    if value.dtype == np.float64:
        value = np.where(np.isfinite(value), value.clip(-limit, limit), value)
    return value.astype(np.float32)


def _drop_casts(network: onnx.ModelProto) -> None:
    """Take away the casts from float32 to float32: where they stand, no weight is a constant and nothing is fused."""
    floats = _floats(network)
    for graph in all_graphs(network.graph):
        wiring = Wiring(graph)
        for node in list(graph.node):
            if node.op_type != "Cast" or node.domain or not {node.input[0], node.output[0]} <= floats:
                continue
            before, behind = node.input[0], node.output[0]
            if behind not in wiring.outputs:
                graph.node.remove(node)
                read_instead(graph, behind, before)
            elif before in wiring.producer and before not in wiring.outputs:
                writer = wiring.producer[before]
                writer.output[list(writer.output).index(before)] = behind
                graph.node.remove(node)
                read_instead(graph, before, behind)
            wiring = Wiring(graph)


def _floats(network: onnx.ModelProto) -> set[str]:
    """Names of the tensors that are known to be float32."""

    try:
        inferred = shape_inference.infer_shapes(network)
    except Exception:  # it knows less than the runtime: casts stay then
        inferred = network
    typed = {
        item.name: item.type.tensor_type.elem_type
        for item in messages(inferred.graph, ValueInfoProto)
        if item.type.HasField("tensor_type")
    }
    typed |= {item.name: item.data_type for graph in all_graphs(network.graph) for item in graph.initializer}
    for graph in all_graphs(network.graph):
        for node in graph.node:
            if node.op_type == "Cast" and not node.domain:
                typed[node.output[0]] = next((item.i for item in node.attribute if item.name == "to"), 0)
    return {name for name, kind in typed.items() if kind == TensorProto.FLOAT}
