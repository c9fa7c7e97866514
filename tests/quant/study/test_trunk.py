"""Copies that run from a shared beginning answer as if they ran whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgepipe.quant.study.answers import answers
from edgepipe.quant.study.trunk import Trunk
from tests.measure.graphs import save, small_network, tensor


def doubled(model: onnx.ModelProto, tensor_name: str) -> onnx.ModelProto:
    """A copy in which everybody reads a tensor twice as large."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = []
    for node in copy.graph.node:
        reads = [f"{name}_twice" if name == tensor_name else name for name in node.input]
        del node.input[:]
        node.input.extend(reads)
        nodes.append(node)
        if tensor_name in node.output:
            nodes.append(helper.make_node("Add", [tensor_name, tensor_name], [f"{tensor_name}_twice"]))
    if tensor_name == "x":
        nodes.insert(0, helper.make_node("Add", ["x", "x"], ["x_twice"]))
    kept = list(nodes)
    del copy.graph.node[:]
    copy.graph.node.extend(kept)
    return copy


def residual(path: Path) -> Path:
    nodes = [
        helper.make_node("Conv", ["x", "one.weight"], ["a"], name="n1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["ar"], name="r1"),
        helper.make_node("Conv", ["ar", "two.weight"], ["b"], name="n2", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["b", "ar"], ["s"], name="sum"),
        helper.make_node("GlobalAveragePool", ["s"], ["g"], name="pool"),
        helper.make_node("Flatten", ["g"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "fc.weight"], ["y"], name="fc", transB=1),
    ]
    stored = [tensor("one.weight", 16, 3, 3, 3), tensor("two.weight", 16, 16, 3, 3), tensor("fc.weight", 10, 16)]
    return save(path, nodes, stored)


@pytest.mark.parametrize("kind", ["residual", "plain", "fixed batch"])
def test_copies_answer_as_if_they_ran_whole(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    if kind == "residual":
        residual(path)
    else:
        small_network(path, batch=4 if kind == "fixed batch" else "n")
    model = onnx.load(path)
    rows = np.random.default_rng(0).standard_normal((70, 3, 16, 16)).astype(np.float32)
    trunk = Trunk(model, rows)
    tensors = ["x", *(node.output[0] for node in model.graph.node[:-1])]
    shares = []
    for name in tensors:
        copy = doubled(model, name)
        shares.append(trunk.start_of([name]))
        got = trunk.answers(copy, shares[-1])
        assert got.shape == (70, 10)
        assert np.allclose(got, answers(copy, rows), rtol=1e-4, atol=1e-5)
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == len(model.graph.node) - 1


def test_too_large_activations_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgepipe.quant.study.trunk._MOST_BYTES", 1000)
    model = onnx.load(residual(tmp_path / "m.onnx"))
    rows = np.random.default_rng(0).standard_normal((10, 3, 16, 16)).astype(np.float32)
    copy = doubled(model, "s")
    assert np.allclose(Trunk(model, rows).answers(copy, 4), answers(copy, rows), rtol=1e-4, atol=1e-5)
