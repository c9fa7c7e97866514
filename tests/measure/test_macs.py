from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepipe.measure.macs import Layer, layers, uncounted
from edgepipe.onnx.graph import Graph
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


def test_recurrent_layers_multiply_their_inputs_and_their_states_at_each_step(tmp_path: Path) -> None:
    for kind, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        node = helper.make_node(kind, ["x", "w", "r"], ["y"], hidden_size=5, direction="bidirectional")
        stored = [tensor("w", 2, gates * 5, 8), tensor("r", 2, gates * 5, 5)]
        path = save(tmp_path / f"{kind}.onnx", [node], stored, input_shape=(20, 1, 8), output_shape=None)
        (found,) = layers(Graph.load(path), (1, 8))
        assert found.cost.macs * 20 == 20 * 2 * gates * 5 * (8 + 5)  # the data counts one of the 20 steps an example
        assert found.cost.weight_bytes == 4 * 2 * gates * 5 * (8 + 5)


@pytest.mark.parametrize(
    ("equation", "shapes", "expected"),
    [
        ("bik,kj->bij", [(1, 3, 4), (4, 5)], 60),
        ("...ik,kj", [(1, 3, 4), (4, 5)], 60),
        ("bik,kj,jl->bil", [(1, 3, 4), (4, 5), (5, 6)], 3 * 4 * 5 + 3 * 5 * 6),
        ("bik->bki", [(1, 3, 4)], 0),
    ],
)
def test_an_einsum_multiplies_over_all_its_indices(
    tmp_path: Path, equation: str, shapes: list[tuple[int, ...]], expected: int
) -> None:
    names = ["x", "w", "v"][: len(shapes)]
    stored = [tensor(name, *shape) for name, shape in zip(names[1:], shapes[1:], strict=True)]
    node = helper.make_node("Einsum", names, ["y"], equation=equation)
    path = save(tmp_path / "m.onnx", [node], stored, input_shape=("n", 3, 4), output_shape=None)
    assert [layer.cost.macs for layer in count(path, 3, 4)] == [expected]


def test_fused_attention_counts_its_projections_scores_and_mixing(tmp_path: Path) -> None:
    node = helper.make_node("Attention", ["x", "w", "b"], ["y"], domain="com.microsoft", num_heads=2)
    stored = [tensor("w", 8, 24), tensor("b", 24)]
    path = save(tmp_path / "m.onnx", [node], stored, input_shape=("n", 7, 8), output_shape=None)
    (found,) = count(path, 7, 8)
    assert found.cost.macs == 7 * 8 * 24 + 2 * 7 * 7 * 8
    plain = helper.make_node("Attention", ["x", "x", "x"], ["y"], q_num_heads=2, kv_num_heads=2)
    graph = helper.make_graph(
        [plain],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 7, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    assert [layer.cost.macs for layer in layers(Graph(model, "m"), (7, 8))] == [2 * 7 * 7 * 8]


def test_linear_and_support_vector_models_count_their_coefficients(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("LinearRegressor", ["x"], ["a"], domain="ai.onnx.ml", coefficients=[0.5] * 12, targets=2),
        helper.make_node(
            "SVMRegressor",
            ["x"],
            ["y"],
            domain="ai.onnx.ml",
            support_vectors=[0.1] * 18,
            coefficients=[1.0] * 3,
            n_supports=3,
            rho=[0.0],
            kernel_type="RBF",
            kernel_params=[0.1, 0.0, 3.0],
        ),
    ]
    path = save(tmp_path / "m.onnx", nodes, [], input_shape=("n", 6), output_shape=None)
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    assert [layer.cost.macs for layer in layers(Graph(model, "m"), (6,))] == [12, 18 + 3]


def test_a_product_inside_a_loop_counts_as_often_as_it_runs(tmp_path: Path) -> None:
    flag, number = TensorProto.BOOL, TensorProto.INT64
    body = helper.make_graph(
        [helper.make_node("MatMul", ["s", "w"], ["m"]), helper.make_node("Identity", ["c"], ["o"])],
        "body",
        [
            helper.make_tensor_value_info("i", number, []),
            helper.make_tensor_value_info("c", flag, []),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, None),
        ],
        [helper.make_tensor_value_info("o", flag, []), helper.make_tensor_value_info("m", TensorProto.FLOAT, None)],
    )
    stored = [
        tensor("w", 8, 8),
        numpy_helper.from_array(np.array(5), "t"),
        numpy_helper.from_array(np.array(True), "c0"),
    ]
    loop = helper.make_node("Loop", ["t", "c0", "x"], ["y"], body=body)
    path = save(tmp_path / "m.onnx", [loop], stored, input_shape=("n", 8), output_shape=None)
    (found,) = count(path, 8)
    assert (found.cost.name, found.cost.macs) == ("w", 5 * 64)
    assert uncounted(Graph.load(path), [found]) == []


def test_what_may_multiply_and_is_in_no_count_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DFT", ["x", "", "axis"], ["f"]),
        helper.make_node("ReduceSum", ["f", "axis"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["m"]),
        helper.make_node("FastGelu", ["m"], ["g"], domain="com.microsoft"),
        helper.make_node("SomethingOfTheirs", ["g"], ["y"], domain="their.domain"),
    ]
    stored = [numpy_helper.from_array(np.array(1), "axis"), tensor("w", 1, 3)]
    graph = Graph.load(save(tmp_path / "m.onnx", nodes, stored, input_shape=("n", 8, 1), output_shape=None))
    assert uncounted(graph, []) == ["DFT", "SomethingOfTheirs"]
