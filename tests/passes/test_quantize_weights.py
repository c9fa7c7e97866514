"""Few-bit weights of matrix products: what changes, what stays, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgepipe.contract.artifact import Artifact, Kind
from edgepipe.errors import PassError
from edgepipe.measure.size import parameters
from edgepipe.onnx.answers import session_answers
from edgepipe.onnx.graph import Graph
from edgepipe.passes.quantize_dynamic import QuantizeDynamic
from edgepipe.passes.quantize_weights import QuantizeWeights
from tests.passes.workbench import Workbench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("bench"), "squeezenet1_1")


@pytest.fixture(scope="module")
def model(bench: Workbench) -> Artifact:
    """Pictures as 96 tokens of 32 values, two matrix products on them and a Gemm with a bias."""
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array((rng.standard_normal(shape) / 8).astype(np.float32), name)

    nodes = [
        helper.make_node("Reshape", ["input", "tokens"], ["t"], "split"),
        helper.make_node("MatMul", ["t", "one"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("MatMul", ["b", "two"], ["c"], "second"),
        helper.make_node("ReduceMean", ["c", "axis"], ["d"], "mean", keepdims=0),
        helper.make_node("Gemm", ["d", "head", "bias"], ["logits"], "head", transB=1),
    ]
    stored = [weight("one", 32, 256), weight("two", 256, 128), weight("head", 10, 128), weight("bias", 10)]
    stored += [
        numpy_helper.from_array(np.array([-1, 96, 32]), "tokens"),
        numpy_helper.from_array(np.array([1]), "axis"),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])],
        stored,
    )
    job = bench.job()
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), job.out / "model.onnx"
    )
    return job.seal(Kind.ONNX, bench.loaded.signature)


def logits(bench: Workbench, file: Path) -> NDArray[np.float32]:
    return np.asarray(session_answers(file)(bench.inputs()))


def operators(model: Artifact) -> list[str]:
    return [node.op_type for node in onnx.load(model.onnx).graph.node]


@pytest.mark.parametrize(("bits", "error"), [(4, 0.25), (8, 0.02)])
@pytest.mark.parametrize("symmetric", [True, False])
def test_weights_shrink_and_answers_hold(
    bench: Workbench, model: Artifact, bits: int, error: float, symmetric: bool
) -> None:
    small, job = bench.do(QuantizeWeights(bits=bits, symmetric=symmetric), model)
    assert operators(small).count("MatMulNBits") == job.facts["quantized_products"] == 2
    assert operators(small).count("Gemm") == 1  # 1280 weights: below `smallest`
    assert small.size_bytes < model.size_bytes * (bits + 2.5) / 32  # scales, and the float head
    wanted, got = logits(bench, model.onnx), logits(bench, small.onnx)
    assert np.sqrt(np.mean(np.square(got - wanted))) < error * wanted.std()
    assert parameters(Graph.load(small.onnx)).count == parameters(Graph.load(model.onnx)).count


def test_a_gemm_is_taken_apart_for_the_kernel_and_an_excluded_node_is_not(bench: Workbench, model: Artifact) -> None:
    small, job = bench.do(QuantizeWeights(bits=8, smallest=1), model)
    assert job.facts["quantized_products"] == 3
    assert not {"Gemm", "MatMul"} & set(operators(small))
    wanted, got = logits(bench, model.onnx), logits(bench, small.onnx)
    assert np.sqrt(np.mean(np.square(got - wanted))) < 0.03 * wanted.std()
    kept, job = bench.do(QuantizeWeights(smallest=1, exclude=("head", "first")), model)
    assert job.facts["quantized_products"] == 1
    assert operators(kept).count("Gemm") == operators(kept).count("MatMul") == 1


def test_the_file_is_the_same_every_time(bench: Workbench, model: Artifact) -> None:
    first, again = (bench.do(QuantizeWeights(), model)[0] for _ in range(2))
    assert first.digest == again.digest


def test_refusals(bench: Workbench, model: Artifact) -> None:
    with pytest.raises(PassError, match=r"exclude: the graph has no node 'heed'\. Did you mean 'head'\?"):
        bench.do(QuantizeWeights(exclude=("heed",)), model)
    with pytest.raises(PassError, match="nothing to quantize"):
        bench.do(QuantizeWeights(smallest=10**6), model)
    with pytest.raises(PassError, match="quantized already"):
        bench.do(QuantizeWeights(), bench.do(QuantizeWeights(), model)[0])


def test_dynamic_leaves_an_excluded_gemm_float_beside_int8_products(bench: Workbench, model: Artifact) -> None:
    every, job = bench.do(QuantizeDynamic(), model)
    assert (operators(every).count("MatMulInteger"), job.facts["int8_nodes"]) == (3, 3)
    kept, job = bench.do(QuantizeDynamic(exclude=("head",)), model)
    assert (operators(kept).count("MatMulInteger"), job.facts["int8_nodes"]) == (2, 2)
    assert [item.data_type for item in onnx.load(kept.onnx).graph.initializer if sorted(item.dims) == [10, 128]] == [
        TensorProto.FLOAT
    ]


def test_dynamic_refuses_a_product_without_a_constant_weight(bench: Workbench) -> None:
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"], "flat"),
        helper.make_node("Transpose", ["flat"], ["turned"], "turn"),
        helper.make_node("MatMul", ["flat", "turned"], ["logits"], "gram"),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", "n"])],
    )
    job = bench.job()
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), job.out / "model.onnx"
    )
    with pytest.raises(PassError, match="no matrix product or LSTM with constant weights"):
        bench.do(QuantizeDynamic(), job.seal(Kind.ONNX, bench.loaded.signature))
