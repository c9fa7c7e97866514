"""Convolutions over patches as matrix products: the same answers, and only where every pixel is seen once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from edgepipe.quant.rewrite.patches import patches_to_products
from edgepipe.quant.rewrite.prepare import prepare
from edgepipe.torch.lower import export


def run(model, inputs):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"input": inputs})[0]


def lowered(layer: torch.nn.Module, folder: Path, batch: str | int = "dynamic"):
    export(layer, folder / "m.onnx", (3, 32, 24), opset=20, batch=batch)
    return prepare(folder / "m.onnx", "it")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", ["dynamic", 1])
def test_the_product_answers_as_the_convolution(tmp_path: Path, bias: bool, batch: str | int) -> None:
    torch.manual_seed(0)
    model = lowered(torch.nn.Sequential(torch.nn.Conv2d(3, 16, (8, 4), (8, 4), bias=bias)), tmp_path, batch)
    inputs = np.random.default_rng(0).standard_normal((1 if batch == 1 else 3, 3, 32, 24)).astype(np.float32)
    wanted = run(model, inputs)
    assert patches_to_products(model, ()) == 1
    assert [node.op_type for node in model.graph.node].count("MatMul") == 1
    assert "Conv" not in {node.op_type for node in model.graph.node}
    np.testing.assert_allclose(run(model, inputs), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Conv2d(3, 16, 8, 4),  # overlapping
        torch.nn.Conv2d(3, 16, 8, 8, padding=4),
        torch.nn.Conv2d(3, 16, 5, 5),  # the last pixels are left out
        torch.nn.Conv2d(3, 6, 8, 8, groups=3),
        torch.nn.Conv2d(3, 16, 2, 2),  # too small to be worth it
    ],
)
def test_other_convolutions_stay(tmp_path: Path, layer: torch.nn.Conv2d) -> None:
    model = lowered(torch.nn.Sequential(layer), tmp_path)
    before = model.SerializeToString()
    assert patches_to_products(model, ()) == 0
    assert model.SerializeToString() == before


def test_one_that_is_excluded_stays(tmp_path: Path) -> None:
    model = lowered(torch.nn.Sequential(torch.nn.Conv2d(3, 16, 8, 8)), tmp_path)
    assert patches_to_products(model, [model.graph.node[0].name]) == 0
