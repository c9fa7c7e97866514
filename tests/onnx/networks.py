"""Small networks with several inputs and outputs, of other types, and with their batch elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Sizes = Sequence[int | str | None]


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Sizes]],
    outputs: Mapping[str, int],
    constants: Mapping[str, NDArray[np.generic]] | None = None,
) -> Path:
    """Write a graph; inputs by name as (element type, sizes), outputs by name as element type."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, sizes) for name, (kind, sizes) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def encoder(path: Path, batch: int | str = "batch", length: int | str = "length") -> Path:
    """Ids, mask and types, int64 (batch, length), to `states`, (batch, length, 6), and `pooled`, (batch, 6).

    Where the mask is 0, a state is 0; `pooled` is the mean over the length.
    """
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["w"]),
        helper.make_node("Gather", ["kinds", "types"], ["k"]),
        helper.make_node("Add", ["w", "k"], ["embedded"]),
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "last"], ["column"]),
        helper.make_node("Mul", ["embedded", "column"], ["states"]),
        helper.make_node("ReduceMean", ["states"], ["pooled"], axes=[1], keepdims=0),
    ]
    tables = {"words": _table(11), "kinds": _table(2), "last": np.array([2])}
    ends = dict.fromkeys(("ids", "mask", "types"), (TensorProto.INT64, (batch, length)))
    return save(path, nodes, ends, {"states": TensorProto.FLOAT, "pooled": TensorProto.FLOAT}, tables)


def recurrent(path: Path, batch: int | str | None = "batch") -> Path:
    """`x`, (batch, length, 4), and the state `h` and `c`, (1, batch, 3), to `y`, (batch, length, 3), `hn` and `cn`."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["steps", "w", "r", "", "", "h", "c"], ["all", "hn", "cn"], hidden_size=3),
        helper.make_node("Squeeze", ["all", "one"], ["flat"]),
        helper.make_node("Transpose", ["flat"], ["y"], perm=[1, 0, 2]),
    ]
    weights = {"w": _floats(1, 12, 4), "r": _floats(1, 12, 3), "one": np.array([1])}
    state = (TensorProto.FLOAT, (1, batch, 3))
    inputs = {"x": (TensorProto.FLOAT, (batch, "length", 4)), "h": state, "c": state}
    return save(path, nodes, inputs, dict.fromkeys(("y", "hn", "cn"), TensorProto.FLOAT), weights)


def five_outputs(path: Path) -> Path:
    """`x`, (n, 4), to `a`, (n, 4); `b`, (4, n); `c`, int64 (n,); `d`, bool (n, 4); `e`, float16 (n, 1)."""
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Transpose", ["x"], ["b"], perm=[1, 0]),
        helper.make_node("ArgMax", ["x"], ["c"], axis=1, keepdims=0),
        helper.make_node("Greater", ["x", "zero"], ["d"]),
        helper.make_node("ReduceMax", ["x"], ["top"], axes=[1]),
        helper.make_node("Cast", ["top"], ["e"], to=TensorProto.FLOAT16),
    ]
    kinds = {
        "a": TensorProto.FLOAT,
        "b": TensorProto.FLOAT,
        "c": TensorProto.INT64,
        "d": TensorProto.BOOL,
        "e": TensorProto.FLOAT16,
    }
    return save(path, nodes, {"x": (TensorProto.FLOAT, ("n", 4))}, kinds, {"zero": np.float32(0)})


def mixed_types(path: Path) -> Path:
    """`whole`, int32 (n, 3); `which`, bool (n, 3); `half`, float16 (n, 3): `y` is whole where which, else half."""
    nodes = [
        helper.make_node("Cast", ["whole"], ["w"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["half"], ["h"], to=TensorProto.FLOAT),
        helper.make_node("Where", ["which", "w", "h"], ["y"]),
    ]
    kinds = {"whole": TensorProto.INT32, "which": TensorProto.BOOL, "half": TensorProto.FLOAT16}
    return save(path, nodes, {name: (kind, ("n", 3)) for name, kind in kinds.items()}, {"y": TensorProto.FLOAT})


def free_picture(path: Path, batch: int | str = "n") -> Path:
    """A picture of any height and width, (n, 3, height, width), to `y` of the same, (n, 2, height, width)."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])]
    inputs = {"x": (TensorProto.FLOAT, (batch, 3, "height", "width"))}
    return save(path, nodes, inputs, {"y": TensorProto.FLOAT}, {"w": _floats(2, 3, 3, 3)})


def _table(rows: int) -> NDArray[np.float32]:
    return _floats(rows, 6)


def _floats(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
