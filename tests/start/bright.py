"""A classifier of dark and light pictures that wants values of 0 to 1, and pictures that only then it tells apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SIDE = 16


def network(path: Path) -> None:
    """Scores of two classes, (batch, 2): how far the mean of a picture, (batch, 3, 16, 16), is below and above 0.5."""
    weight = np.stack([-np.ones(3 * SIDE * SIDE), np.ones(3 * SIDE * SIDE)], 1).astype(np.float32) / (3 * SIDE * SIDE)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["pictures"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "weight", "bias"], ["scores"]),
        ],
        "bright",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(np.float32([0.5, -0.5]), "bias")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def pictures(root: Path, each: int = 20) -> None:
    """`root/dark` and `root/light`: around 0.45 and 0.53, both below where ImageNet's mean puts 0.5."""
    rng = np.random.default_rng(0)
    for name, level in (("dark", 115), ("light", 135)):
        (root / name).mkdir(parents=True)
        for number in range(each):
            pixels = np.clip(rng.integers(-4, 5, (SIDE, SIDE, 3)) + level, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:02d}.png")
