from __future__ import annotations

from pathlib import Path

import pytest
from onnx import helper

from edgepipe.measure.graph import Graph
from edgepipe.measure.macs import Layer, layers
from tests.measure.graphs import SMALL_MACS, dynamic, quantized, save, small_network, tensor


def count(path: Path, *shape: int) -> list[Layer]:
    return layers(Graph.load(path), shape)


def test_macs_of_two_convolutions_and_a_gemm_by_hand(tmp_path: Path) -> None:
    found = count(small_network(tmp_path / "m.onnx"), 3, 16, 16)
    assert [layer.cost.macs for layer in found] == [110_592, 294_912, 320]
    assert [layer.cost.name for layer in found] == ["one", "two", "fc"]
    assert [layer.cost.weight_bytes for layer in found] == [1728, 18_432, 1280]
    assert found[0].cost.weight_shape == [16, 3, 3, 3]
    assert SMALL_MACS == 405_824


@pytest.mark.parametrize("batch", ["n", 1, 5])
def test_macs_are_for_one_example_whatever_the_batch(tmp_path: Path, batch: int | str) -> None:
    found = count(small_network(tmp_path / "m.onnx", batch=batch), 3, 16, 16)
    assert sum(layer.cost.macs for layer in found) == SMALL_MACS


def test_quantized_forms_count_and_are_named_as_the_float_model(tmp_path: Path) -> None:
    source = small_network(tmp_path / "f.onnx")
    static = count(quantized(source, tmp_path / "q.onnx"), 3, 16, 16)
    loose = count(dynamic(source, tmp_path / "d.onnx", "Conv", "MatMul", "Gemm"), 3, 16, 16)
    for found in (static, loose):
        assert sum(layer.cost.macs for layer in found) == SMALL_MACS
        assert [layer.cost.name for layer in found] == ["one", "two", "fc"]
        assert [layer.cost.weight_bytes for layer in found] == [432, 4608, 320]
    assert [layer.cost.operator for layer in loose] == ["ConvInteger", "ConvInteger", "MatMulInteger"]


def test_groups_and_transposed_convolutions(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "d"], ["a"], group=4, pads=[1, 1, 1, 1]),
        helper.make_node("ConvTranspose", ["a", "t"], ["y"], strides=[2, 2]),
    ]
    stored = [tensor("d", 4, 1, 3, 3), tensor("t", 4, 6, 2, 2)]
    path = save(tmp_path / "m.onnx", nodes, stored, input_shape=("n", 4, 8, 8), output_shape=None)
    assert [layer.cost.macs for layer in count(path, 4, 8, 8)] == [4 * 64 * 9, 4 * 64 * 6 * 4]


def test_products_of_activations_count_without_a_weight(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "t"], ["s"], name="scores"),
        helper.make_node("MatMul", ["s", "x"], ["y"], name="mixed"),
    ]
    path = save(tmp_path / "m.onnx", nodes, [], input_shape=("n", 5, 8), output_shape=None)
    found = count(path, 5, 8)
    assert [(layer.cost.name, layer.cost.macs) for layer in found] == [("scores", 200), ("mixed", 200)]
    assert found[0].cost.weight_shape == []
    assert found[0].cost.weight_bytes == 0


def test_shapes_that_inference_does_not_know_are_observed(tmp_path: Path) -> None:
    nodes = [  # QuickGelu is an operator of ONNX Runtime: onnx knows no shape behind it
        helper.make_node("QuickGelu", ["x"], ["q"], domain="com.microsoft"),
        helper.make_node("MatMul", ["q", "w"], ["y"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, [tensor("w", 8, 3)], input_shape=("n", 7, 8), output_shape=None)
    assert [layer.cost.macs for layer in count(path, 7, 8)] == [7 * 8 * 3]


def test_a_weight_used_twice_gives_two_names(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("MatMul", ["a", "w"], ["y"], name="second"),
    ]
    path = save(tmp_path / "m.onnx", nodes, [tensor("w", 6, 6)], input_shape=("n", 6), output_shape=("n", 6))
    assert [layer.cost.name for layer in count(path, 6)] == ["w (first)", "w (second)"]
