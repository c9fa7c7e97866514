"""Matrix products with constant weights, in the one form that ONNX Runtime's few-bit kernel takes."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgepipe.onnx.names import fresh, tensor_names
from edgepipe.onnx.wiring import Wiring, attribute, drop_unread


def products(model: onnx.ModelProto) -> dict[str, int]:
    """Number of weights of each MatMul whose right operand is a constant float32 matrix, by node name."""
    wiring = Wiring(model)
    found = {}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.domain in ("", "ai.onnx"):
            item = wiring.constants.get(node.input[1])
            if item is not None and item.data_type == onnx.TensorProto.FLOAT and len(item.dims) == 2:
                found[node.name] = prod(item.dims)
    return found


def gemms_to_products(model: onnx.ModelProto, smallest: int, exclude: Collection[str]) -> int:
    """Write Gemm with a constant weight of at least `smallest` elements as MatMul and Add, in place; how many."""
    wiring = Wiring(model)
    nodes: list[onnx.NodeProto] = []
    done = 0
    for node in model.graph.node:
        weight = wiring.array(node.input[1]) if node.op_type == "Gemm" else None
        usual = all(attribute(node, name, 1) == 1 for name in ("alpha", "beta")) and not attribute(node, "transA", 0)
        if weight is None or not usual or weight.size < smallest or node.name in exclude:
            nodes.append(node)
            continue
        done += 1
        matrix, result = node.input[1], node.output[0]
        if attribute(node, "transB", 0):
            matrix = f"{matrix}_transposed_{node.name}"
            model.graph.initializer.append(numpy_helper.from_array(np.array(weight.T, order="C"), matrix))
        biased = len(node.input) > 2 and bool(node.input[2])
        product = f"{result}_product" if biased else result
        nodes.append(helper.make_node("MatMul", [node.input[0], matrix], [product], node.name))
        if biased:
            nodes.append(helper.make_node("Add", [product, node.input[2]], [result], f"{node.name}_bias"))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unread(model.graph)
    return done


def part_shared(model: onnx.ModelProto) -> None:
    """Give each MatMul of a constant matrix one of its own where somebody else reads it too, in place.

    A weight that is also a table of word vectors gets one scale for each column in one place and for each row in the
    other: two tensors of one name.
    """
    wiring = Wiring(model)
    taken = tensor_names(model.graph)
    able = products(model)
    for node in model.graph.node:
        if node.name in able and any(reader.op_type != "MatMul" for reader in wiring.consumers[node.input[1]]):
            own = fresh(f"{node.input[1]}_of_{node.name}", taken)
            taken.add(own)
            model.graph.initializer.append(
                numpy_helper.from_array(numpy_helper.to_array(wiring.constants[node.input[1]]), own)
            )
            node.input[1] = own
    drop_unread(model.graph)
