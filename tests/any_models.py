"""Networks that are no classifier of one picture, each with data for it; and where their free axes stand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.onnx.networks import save

node = helper.make_node
FLOAT = TensorProto.FLOAT


def weight(*shape: int) -> NDArray[np.float32]:
    """float32, drawn by its shape."""
    value = np.random.default_rng(sum(shape)).standard_normal(shape) / np.sqrt(shape[0])
    return value.astype(np.float32)


def tokens(folder: Path) -> list[str]:
    """Ids, mask and types, (batch, length), to `states`, (batch, length, 32), and `pooled`, (batch, 8)."""
    nodes = [
        node("Gather", ["words", "ids"], ["w"]),
        node("Gather", ["kinds", "types"], ["k"]),
        node("Add", ["w", "k"], ["embedded"]),
        node("MatMul", ["embedded", "w1"], ["h"], "first"),
        node("Relu", ["h"], ["r"], "relu"),
        node("MatMul", ["r", "w2"], ["mixed"], "second"),
        node("Cast", ["mask"], ["m"], to=FLOAT),
        node("Unsqueeze", ["m", "last"], ["column"]),
        node("Mul", ["mixed", "column"], ["states"]),
        node("ReduceMean", ["states"], ["mean"], axes=[1], keepdims=0),
        node("MatMul", ["mean", "w3"], ["pooled"], "head"),
    ]
    constants = {"words": weight(50, 32), "kinds": weight(2, 32), "last": np.array([2])}
    constants |= {"w1": weight(32, 64), "w2": weight(64, 32), "w3": weight(32, 8)}
    ends = dict.fromkeys(("ids", "mask", "types"), (TensorProto.INT64, ("batch", "length")))
    save(folder / "m.onnx", nodes, ends, {"states": FLOAT, "pooled": FLOAT}, constants)
    for name, count, seed in (("e", 24, 1), ("c", 30, 2)):
        ids = np.random.default_rng(seed).integers(1, 50, (count, 12))
        ids[:, 9:] *= np.arange(count)[:, None] % 2
        np.savez(folder / f"{name}.npz", mask=(ids > 0).astype(np.int64), ids=ids, types=ids % 2)
    return []


def state(folder: Path) -> list[str]:
    """`x`, (batch, 1, 16), and an LSTM's `h` and `c`, (1, batch, 24), to `y`, (batch, 6), `hn` and `cn`."""
    nodes = [
        node("MatMul", ["x", "w1"], ["into"], "into"),
        node("Transpose", ["into"], ["steps"], perm=[1, 0, 2]),
        node("LSTM", ["steps", "w", "r", "", "", "h", "c"], ["all", "hn", "cn"], "lstm", hidden_size=24),
        node("Squeeze", ["all", "firsts"], ["flat"]),
        node("MatMul", ["flat", "w2"], ["y"], "head"),
    ]
    constants = {"w": weight(1, 96, 32), "r": weight(1, 96, 24), "firsts": np.array([0, 1])}
    constants |= {"w1": weight(16, 32), "w2": weight(24, 6)}
    ends = {"x": (FLOAT, ("batch", 1, 16))} | dict.fromkeys(("h", "c"), (FLOAT, (1, "batch", 24)))
    save(folder / "m.onnx", nodes, ends, dict.fromkeys(("y", "hn", "cn"), FLOAT), constants)
    for name, count, seed in (("e", 20, 1), ("c", 24, 2)):
        sound = np.random.default_rng(seed).standard_normal((count, 7, 1, 16)).astype(np.float32)
        np.savez(folder / f"{name}.npz", x=sound)
    return ["+data.state={h:hn,c:cn}", "data.steps=7"]


def sizes(folder: Path) -> list[str]:
    """A picture of any height and width to a map of that size, four channels; examples of several sizes."""
    nodes = [
        node("Conv", ["x", "w1"], ["a"], "first", pads=[1] * 4),
        node("Relu", ["a"], ["b"], "relu"),
        node("Conv", ["b", "w2"], ["y"], "second", pads=[1] * 4),
    ]
    constants = {"w1": weight(16, 3, 3, 3), "w2": weight(4, 16, 3, 3)}
    save(folder / "m.onnx", nodes, {"x": (FLOAT, ("n", 3, "height", "width"))}, {"y": FLOAT}, constants)
    for name, seed in (("e", 1), ("c", 2)):
        draw = np.random.default_rng(seed)
        (folder / f"{name}.npz").mkdir()
        for number in range(12):
            shape = (3, 16 + 8 * (number // 3 % 2), 24)
            np.savez(folder / f"{name}.npz" / f"{number:02}.npz", x=draw.standard_normal(shape).astype(np.float32))
    return []


def whole(folder: Path) -> list[str]:
    """Pixels as int32, (n, 3, 16, 16), to a vector of 12 that is no classes'."""
    nodes = [
        node("Cast", ["pixels"], ["f"], to=FLOAT),
        node("Mul", ["f", "scale"], ["x"]),
        node("Conv", ["x", "w1"], ["a"], "first"),
        node("Relu", ["a"], ["b"], "relu"),
        node("GlobalAveragePool", ["b"], ["p"], "pool"),
        node("Flatten", ["p"], ["v"], "flat"),
        node("Gemm", ["v", "w2"], ["y"], "head"),
    ]
    constants = {"w1": weight(16, 3, 3, 3), "w2": weight(16, 12), "scale": np.float32(1 / 255)}
    save(folder / "m.onnx", nodes, {"pixels": (TensorProto.INT32, ("n", 3, 16, 16))}, {"y": FLOAT}, constants)
    for name, count, seed in (("e", 24, 1), ("c", 30, 2)):
        pixels = np.random.default_rng(seed).integers(0, 256, (count, 3, 16, 16), dtype=np.int32)
        np.savez(folder / f"{name}.npz", pixels=pixels)
    return []


def five(folder: Path) -> list[str]:
    """A picture to two maps, two vectors and whole numbers."""
    nodes = [
        node("Conv", ["x", "w1"], ["a"], "first", strides=[2, 2]),
        node("Relu", ["a"], ["deep"], "relu"),
        node("Conv", ["deep", "w2"], ["map"], "second"),
        node("GlobalAveragePool", ["deep"], ["p"], "pool"),
        node("Flatten", ["p"], ["v"], "flat"),
        node("Gemm", ["v", "w3"], ["scores"], "scores"),
        node("Gemm", ["v", "w4"], ["boxes"], "boxes"),
        node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
    ]
    constants = {"w1": weight(16, 3, 3, 3), "w2": weight(8, 16, 3, 3), "w3": weight(16, 5), "w4": weight(16, 4)}
    outputs = dict.fromkeys(("map", "deep", "scores", "boxes"), FLOAT) | {"best": TensorProto.INT64}
    save(folder / "m.onnx", nodes, {"x": (FLOAT, ("n", 3, 16, 16))}, outputs, constants)
    for name, count, seed in (("e", 24, 1), ("c", 30, 2)):
        draw = np.random.default_rng(seed)
        np.savez(folder / f"{name}.npz", picture=draw.standard_normal((count, 3, 16, 16)).astype(np.float32))
    return []


KINDS: dict[str, Callable[[Path], list[str]]] = {
    "three inputs": tokens,
    "a state": state,
    "free height and width": sizes,
    "int32": whole,
    "five outputs": five,
}
"""By what is odd of them: what writes m.onnx, c.npz and e.npz and says what else the command line needs."""
