"""Tables of vectors (of words, of positions) as int8 with one scale for each row."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgepipe.models.subgraphs import Readers
from edgepipe.quant.names import fresh, tensor_names

_SMALLEST = 4096
_LARGE = 1_000_000


def quantize_tables(model: onnx.ModelProto, exclude: Collection[str] = ()) -> int:
    """Rewrite `Gather(table, rows)` so that int8 rows are looked up and scaled; returns how many tables.

    The error of a value is at most half of its row's largest magnitude / 127. Small tables, and tables that something
    else reads too, stay float.

    Args:
        exclude: names of nodes that stay float.
    """
    graph = model.graph
    weights = {item.name: item for item in graph.initializer}
    readers = Readers(graph)
    taken = tensor_names(graph)

    def named(name: str) -> str:
        found = fresh(name, taken)
        taken.add(found)
        return found

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
            or node.name in exclude
            or readers.sole(table.name) is None
            or node.input[1] in weights
        ):
            nodes.append(node)
            continue
        values = numpy_helper.to_array(table)
        scales = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-12) / np.float32(127)
        integers = np.clip(np.rint(values / scales), -127, 127).astype(np.int8)
        name, output = table.name, node.output[0]
        gone.add(name)
        rows, row_scales = named(f"{name}_quantized"), named(f"{name}_scale")
        graph.initializer.append(numpy_helper.from_array(integers, rows))
        graph.initializer.append(numpy_helper.from_array(scales.astype(np.float32), row_scales))
        read, plain, scale = named(f"{output}_int8"), named(f"{output}_float"), named(f"{output}_scale")
        nodes += [
            helper.make_node("Gather", [rows, node.input[1]], [read], f"{name}_rows", axis=0),
            helper.make_node("Cast", [read], [plain], f"{name}_cast", to=TensorProto.FLOAT),
            helper.make_node("Gather", [row_scales, node.input[1]], [scale], f"{name}_scales", axis=0),
            helper.make_node("Mul", [plain, scale], [output], f"{name}_scaled"),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    kept = [item for item in graph.initializer if item.name not in gone]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return len(gone)


def float_tables(model: onnx.ModelProto) -> dict[str, int]:
    """Bytes of each float table of a megabyte or more that a Gather reads rows of, by name."""
    weights = {item.name: item for item in model.graph.initializer if item.data_type == TensorProto.FLOAT}
    found = {node.input[0] for node in model.graph.node if node.op_type == "Gather"} & weights.keys()
    sizes = {name: 4 * prod(weights[name].dims) for name in sorted(found) if len(weights[name].dims) == 2}
    return {name: size for name, size in sizes.items() if size >= _LARGE}
