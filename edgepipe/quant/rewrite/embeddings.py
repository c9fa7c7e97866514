"""Tables of vectors (of words, of positions) as int8 with one scale for each row."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgepipe.onnx.names import fresh, tensor_names
from edgepipe.onnx.wiring import Wiring

_SMALLEST = 4096
_LARGE = 1_000_000


def quantize_tables(model: onnx.ModelProto, exclude: Collection[str] = ()) -> int:
    """Rewrite `Gather(table, rows)` so that int8 rows are looked up and scaled; returns how many tables.

    The error of a value is at most half of its row's largest magnitude / 127. A table that several Gathers read is
    stored once. Small tables, and tables that something else reads too, stay float.

    Args:
        exclude: names of nodes that stay float.
    """
    graph = model.graph
    wiring = Wiring(graph)
    stored = {item.name for item in graph.initializer}
    tables = {
        item.name: item
        for item in graph.initializer
        if item.data_type == TensorProto.FLOAT
        and len(item.dims) == 2
        and prod(item.dims) >= _SMALLEST
        and item.name not in wiring.outputs | wiring.inside
        and wiring.consumers.get(item.name)
        and all(_looks_up(node, item.name, stored, exclude) for node in wiring.consumers[item.name])
    }
    taken = tensor_names(graph)

    def named(name: str) -> str:
        found = fresh(name, taken)
        taken.add(found)
        return found

    written: dict[str, tuple[str, str]] = {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "Gather" or node.input[0] not in tables:
            nodes.append(node)
            continue
        name, output = node.input[0], node.output[0]
        if name not in written:
            written[name] = named(f"{name}_quantized"), named(f"{name}_scale")
            integers, scales = by_rows(numpy_helper.to_array(tables[name]))
            graph.initializer.append(numpy_helper.from_array(integers, written[name][0]))
            graph.initializer.append(numpy_helper.from_array(scales, written[name][1]))
            tag = name
        else:
            tag = f"{name}_{output}"
        rows, row_scales = written[name]
        read, plain, scale = named(f"{output}_int8"), named(f"{output}_float"), named(f"{output}_scale")
        nodes += [
            helper.make_node("Gather", [rows, node.input[1]], [read], f"{tag}_rows", axis=0),
            helper.make_node("Cast", [read], [plain], f"{tag}_cast", to=TensorProto.FLOAT),
            helper.make_node("Gather", [row_scales, node.input[1]], [scale], f"{tag}_scales", axis=0),
            helper.make_node("Mul", [plain, scale], [output], f"{tag}_scaled"),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    kept_tensors = [item for item in graph.initializer if item.name not in written]
    del graph.initializer[:]
    graph.initializer.extend(kept_tensors)
    return len(written)


def by_rows(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 of the same shape, and float32 (..., 1): a scale for each row, along the last axis."""
    scales = np.maximum(np.abs(values).max(axis=-1, keepdims=True), 1e-12) / np.float32(127)
    return np.clip(np.rint(values / scales), -127, 127).astype(np.int8), scales.astype(np.float32)


def _looks_up(node: onnx.NodeProto, table: str, stored: Collection[str], exclude: Collection[str]) -> bool:
    """Whether all that a node does with a table is to take rows of it, which the example chooses."""
    axis = next((item.i for item in node.attribute if item.name == "axis"), 0)
    whole = node.op_type == "Gather" and axis in (0, -2) and node.input[0] == table != node.input[1]
    return whole and node.name not in exclude and node.input[1] not in stored


def float_tables(model: onnx.ModelProto) -> dict[str, int]:
    """Bytes of each float table of a megabyte or more that a Gather reads rows of, by name."""
    weights = {item.name: item for item in model.graph.initializer if item.data_type == TensorProto.FLOAT}
    found = {node.input[0] for node in model.graph.node if node.op_type == "Gather"} & weights.keys()
    sizes = {name: 4 * prod(weights[name].dims) for name in sorted(found) if len(weights[name].dims) == 2}
    return {name: size for name, size in sizes.items() if size >= _LARGE}
