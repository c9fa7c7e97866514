from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepipe.errors import MeasureError
from edgepipe.measure.size import gzip_bytes, parameters, size_bytes
from edgepipe.onnx.graph import Graph
from tests.measure.graphs import SMALL_PARAMETERS, dynamic, quantized, save, small_network, tensor


def test_quantizing_does_not_change_the_number_of_parameters(tmp_path: Path) -> None:
    source = small_network(tmp_path / "f.onnx")
    assert parameters(Graph.load(source)).count == SMALL_PARAMETERS == 5418
    static = quantized(source, tmp_path / "q.onnx")
    assert parameters(Graph.load(static)).count == SMALL_PARAMETERS
    loose = dynamic(source, tmp_path / "d.onnx", "Conv", "MatMul", "Gemm")
    assert parameters(Graph.load(loose)).count == SMALL_PARAMETERS


def test_zeros_of_a_float_model_are_counted(tmp_path: Path) -> None:
    path = small_network(tmp_path / "f.onnx")
    model = onnx.load(path)
    for stored in model.graph.initializer:
        if stored.name == "two.weight":
            values = numpy_helper.to_array(stored).copy()
            values[:16] = 0
            stored.CopyFrom(numpy_helper.from_array(values, stored.name))
    onnx.save(model, path)
    found = parameters(Graph.load(path))
    assert found.zeros == 16 * 144
    assert found.nonzero_share == pytest.approx(1 - 16 * 144 / 5418)


def test_a_quantized_weight_is_zero_where_it_equals_its_zero_point(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.array([[3, 0, 5], [3, 7, 0]], np.uint8), "w")
    stored = [
        weight,
        numpy_helper.from_array(np.array([0.1, 0.1], np.float32), "s"),
        numpy_helper.from_array(np.array([3, 7], np.uint8), "z"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"], axis=0),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    found = parameters(
        Graph.load(save(tmp_path / "m.onnx", nodes, stored, input_shape=("n", 2), output_shape=("n", 3)))
    )
    assert (found.count, found.zeros) == (6, 2)


def test_few_bit_weights_count_as_the_matrix_they_stand_for(tmp_path: Path) -> None:
    packed = np.full((4, 1, 16), 0x88, np.uint8)  # 8 is the zero of 4 bits
    packed[0] = 0x98  # low nibble 8, high nibble 9
    stored = [numpy_helper.from_array(packed, "b"), numpy_helper.from_array(np.ones(4, np.float32), "s")]
    node = helper.make_node(
        "MatMulNBits", ["x", "b", "s"], ["y"], domain="com.microsoft", K=32, N=4, bits=4, block_size=32
    )
    found = parameters(Graph.load(save(tmp_path / "m.onnx", [node], stored, input_shape=("n", 32), output_shape=None)))
    assert found.count == 4 * 32
    assert found.zeros == 3 * 32 + 16


def test_four_bit_types_are_counted_by_element(tmp_path: Path) -> None:
    weight = helper.make_tensor("w", TensorProto.INT4, [2, 4], [0, 1, 2, 3, -4, 0, 0, 7])
    stored = [weight, numpy_helper.from_array(np.array(0.1, np.float32), "s")]
    nodes = [helper.make_node("DequantizeLinear", ["w", "s"], ["d"]), helper.make_node("MatMul", ["x", "d"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, stored, input_shape=("n", 2), output_shape=("n", 4))
    found = parameters(Graph.load(path))
    assert (found.count, found.zeros) == (8, 3)


def test_shapes_bounds_and_lone_constants_are_not_parameters(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Clip", ["x", "low", "high"], ["c"]),
        helper.make_node("Mul", ["c", "half"], ["m"]),
        helper.make_node("Reshape", ["m", "shape"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    scalars = [numpy_helper.from_array(np.array(v, np.float32), n) for n, v in (("low", 0), ("high", 6), ("half", 0.5))]
    stored = [*scalars, numpy_helper.from_array(np.array([-1, 12]), "shape"), tensor("w", 12, 5)]
    path = save(tmp_path / "m.onnx", nodes, stored, input_shape=("n", 3, 4), output_shape=("n", 5))
    assert parameters(Graph.load(path)).count == 60


def test_gzip_size_is_that_of_level_6_and_repeats(tmp_path: Path) -> None:
    path = small_network(tmp_path / "m.onnx")
    files = Graph.load(path).files
    assert files == (path,)
    assert size_bytes(files) == path.stat().st_size
    assert gzip_bytes(files) == len(gzip.compress(path.read_bytes(), 6, mtime=0)) == gzip_bytes(files)


def test_weights_outside_the_file_count(tmp_path: Path) -> None:
    model = onnx.load(small_network(tmp_path / "whole.onnx"))
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="w.data", size_threshold=0)
    both = (tmp_path / "split.onnx").stat().st_size + (tmp_path / "w.data").stat().st_size
    graph = Graph.load(tmp_path / "split.onnx")
    assert size_bytes(graph.files) == both
    assert parameters(graph).count == SMALL_PARAMETERS


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "junk.onnx").write_bytes(b"\xff\xfe junk")
    with pytest.raises(MeasureError, match=r"junk\.onnx: not a readable ONNX file"):
        Graph.load(tmp_path / "junk.onnx")
