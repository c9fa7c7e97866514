"""A classifier whose int8 form overflows 16-bit sums of two products, unless its weights are kept apart from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from tests.measure.graphs import save
from tests.small import ptq


def saturating(folder: Path, *, labels: bool = False) -> list[str]:
    """Write the model and its data; returns the command line of a `ptq` run over them.

    Bright pictures (all bytes near 255) meet weights of +-1, which become +-127: 255 * 127 * 2 > 32,767.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, seed, count in (("c", 1, 60), ("e", 2, 60)):
        draw = np.random.default_rng(seed)
        # Each channel is as bright as it likes, so that the classes differ in which channels are bright.
        bright = draw.uniform(0.0, 1.0, (count, 8, 1, 1)) ** 0.5 * draw.uniform(0.8, 1.0, (count, 8, 16, 16))
        content = {"images": bright.astype(np.float32)}
        if labels and name == "e":
            content["labels"] = draw.integers(0, 10, count)
        np.savez(folder / f"{name}.npz", **content)
    _network(folder / "m.onnx", folder / "c.npz")
    return [*ptq(folder), "measure.latency_seconds=0.1"]


def _network(path: Path, examples: Path) -> None:
    draw = np.random.default_rng(0)
    signs = draw.choice([-1.0, 1.0], size=(16, 8, 1, 1), p=[0.3, 0.7]) * np.ones((1, 1, 3, 3))
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="c", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="r"),
        helper.make_node("GlobalAveragePool", ["r"], ["g"], name="g"),
        helper.make_node("Flatten", ["g"], ["f"], name="f"),
        helper.make_node("Gemm", ["f", "fc", "b"], ["y"], name="fc", transB=1),
    ]
    head = draw.standard_normal((10, 16))

    def write(bias: NDArray[Any]) -> None:
        stored = {"w": signs, "fc": head, "b": bias}
        tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in stored.items()]
        save(path, nodes, tensors, input_shape=("n", 8, 16, 16))

    write(np.zeros(10))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with np.load(examples) as content:
        scores = session.run(None, {"x": content["images"]})[0]
    write(-scores.mean(axis=0))  # no class wins by default
