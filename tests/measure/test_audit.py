from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from edgepipe.measure.audit import audit
from edgepipe.measure.macs import layers
from edgepipe.onnx.graph import Graph
from edgepipe.records.metrics import Audit, Int8Share
from tests.measure.graphs import dynamic, quantized, save, small_network, tensor


def run(path: Path, *shape: int) -> tuple[Audit, Int8Share]:
    example = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    graph = Graph.load(path)
    return audit(graph, example, layers(graph, shape), runs=3)


def test_a_float_model_runs_nothing_in_int8_and_every_layer_is_timed(tmp_path: Path) -> None:
    found, share = run(small_network(tmp_path / "m.onnx"), 3, 16, 16)
    assert share == Int8Share(conv=0.0, matmul=0.0, layers=0.0)
    assert [layer.name for layer in found.layers] == ["one", "two", "fc"]
    assert all(layer.milliseconds is not None and layer.milliseconds >= 0 for layer in found.layers)
    assert not any(layer.int8 for layer in found.layers)
    assert found.leftover_qdq == 0
    assert sum(row.share for row in found.operators) == pytest.approx(1)


def test_a_statically_quantized_model_really_runs_in_int8(tmp_path: Path) -> None:
    path = quantized(small_network(tmp_path / "f.onnx"), tmp_path / "q.onnx")
    found, share = run(path, 3, 16, 16)
    assert share == Int8Share(conv=1.0, matmul=1.0, layers=1.0)
    assert [layer.operator for layer in found.layers] == ["QLinearConv", "QLinearConv", "QGemm"]
    assert all(layer.int8 for layer in found.layers)
    assert found.leftover_qdq == 2  # the way in and the way out
    kinds = {row.operator: row for row in found.operators}
    assert kinds["QLinearConv"].int8
    assert kinds["QLinearConv"].nodes == 2
    assert not kinds["QuantizeLinear"].int8


def test_hard_swish_is_shown_by_its_own_name_and_in_float(tmp_path: Path) -> None:
    source = small_network(tmp_path / "f.onnx", activation="HardSwish")
    found, _ = run(quantized(source, tmp_path / "q.onnx"), 3, 16, 16)
    kinds = {row.operator: row for row in found.operators}
    assert kinds["HardSwish"].nodes == 4  # HardSigmoid and Mul, twice
    assert not kinds["HardSwish"].int8
    assert "HardSigmoid" not in kinds
    assert found.leftover_qdq == 6


def test_the_share_is_by_macs_and_per_family(tmp_path: Path) -> None:
    path = dynamic(small_network(tmp_path / "f.onnx"), tmp_path / "d.onnx", "Gemm", "MatMul")
    found, share = run(path, 3, 16, 16)
    assert (share.conv, share.matmul) == (0.0, 1.0)
    assert 0 < (share.layers or 0) < 0.5
    assert [layer.int8 for layer in found.layers] == [False, False, True]
    assert found.layers[2].operator == "DynamicQuantizeMatMul"


def test_a_family_that_the_model_lacks_is_null(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [], output_shape=None)
    found, share = run(path, 3, 16, 16)
    assert share == Int8Share(conv=None, matmul=None)
    assert found.layers == []
    assert [row.operator for row in found.operators] == ["Relu"]


def test_a_float_lstm_beside_an_int8_product_is_most_of_the_share(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r"], ["h"], hidden_size=16),
        helper.make_node("Squeeze", ["h", "axis"], ["s"]),
        helper.make_node("MatMul", ["s", "fc"], ["y"]),
    ]
    stored = [
        tensor("w", 1, 64, 8),
        tensor("r", 1, 64, 16),
        tensor("fc", 16, 4),
        numpy_helper.from_array(np.array([1]), "axis"),
    ]
    source = save(tmp_path / "f.onnx", nodes, stored, input_shape=(1, 20, 8), output_shape=None)
    path = dynamic(source, tmp_path / "d.onnx", "MatMul")
    found, share = run(path, 20, 8)
    assert share.matmul == share.layers == pytest.approx(20 * 64 / (20 * 64 + 20 * 64 * (8 + 16)))
    (lstm,) = [layer for layer in found.layers if layer.operator == "LSTM"]
    assert not lstm.int8 and lstm.milliseconds is not None


def test_the_share_is_unknown_where_a_part_is_not_counted(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DFT", ["x", "", "axis"], ["f"]),
        helper.make_node("Abs", ["f"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["y"]),
    ]
    stored = [numpy_helper.from_array(np.array(1), "axis"), tensor("w", 2, 3)]
    found, share = run(save(tmp_path / "m.onnx", nodes, stored, input_shape=("n", 8, 1), output_shape=None), 8, 1)
    assert share == Int8Share()
    assert found.uncounted == ["DFT"]
