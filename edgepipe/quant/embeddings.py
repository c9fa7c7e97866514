"""Tables of vectors (of words, of positions) as int8 with one scale for each row."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_SMALLEST = 4096


def quantize_tables(model: onnx.ModelProto) -> int:
    """Rewrite `Gather(table, rows)` so that int8 rows are looked up and scaled; returns how many tables.

    The error of a value is at most half of its row's largest magnitude / 127. Small tables, and tables that something
    else reads too, stay float.
    """
    graph = model.graph
    weights = {item.name: item for item in graph.initializer}
    readers: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    nodes: list[onnx.NodeProto] = []
    gone: set[str] = set()
    for node in graph.node:
        table = weights.get(node.input[0]) if node.op_type == "Gather" else None
        axis = next((item.i for item in node.attribute if item.name == "axis"), 0)
        if (
            table is None
            or table.data_type != TensorProto.FLOAT
            or len(table.dims) != 2
            or table.dims[0] * table.dims[1] < _SMALLEST
            or axis != 0
            or readers[table.name] != 1
            or node.input[1] in weights
        ):
            nodes.append(node)
            continue
        values = numpy_helper.to_array(table)
        scales = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-12) / np.float32(127)
        integers = np.clip(np.rint(values / scales), -127, 127).astype(np.int8)
        name, output = table.name, node.output[0]
        gone.add(name)
        graph.initializer.append(numpy_helper.from_array(integers, f"{name}_quantized"))
        graph.initializer.append(numpy_helper.from_array(scales.astype(np.float32), f"{name}_scale"))
        nodes += [
            helper.make_node(
                "Gather", [f"{name}_quantized", node.input[1]], [f"{output}_int8"], f"{name}_rows", axis=0
            ),
            helper.make_node("Cast", [f"{output}_int8"], [f"{output}_float"], f"{name}_cast", to=TensorProto.FLOAT),
            helper.make_node("Gather", [f"{name}_scale", node.input[1]], [f"{output}_scale"], f"{name}_scales", axis=0),
            helper.make_node("Mul", [f"{output}_float", f"{output}_scale"], [output], f"{name}_scaled"),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    kept = [item for item in graph.initializer if item.name not in gone]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return len(gone)
