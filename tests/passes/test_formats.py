"""Files for other runtimes: int8 stays int8, answers agree in that runtime, what cannot be kept is refused."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgepipe.contract import Written
from edgepipe.contract.artifact import Artifact, Kind
from edgepipe.errors import ParityError, PassError
from edgepipe.formats.tflite import TfLite
from edgepipe.passes.export import Export
from edgepipe.passes.quantize_dynamic import QuantizeDynamic
from edgepipe.passes.quantize_static import QuantizeStatic
from tests.passes.workbench import Workbench


def needs(module: str, extra: str) -> pytest.MarkDecorator:
    there = importlib.util.find_spec(module) is not None
    return pytest.mark.skipif(not there, reason=f"needs {module}: pip install 'edgepipe[{extra}]'")


OPENVINO, TFLITE = needs("openvino", "openvino"), needs("ai_edge_litert", "tflite")
PTE = needs("executorch", "pte")
OTHERS = [
    pytest.param("openvino", marks=OPENVINO),
    pytest.param("tflite", marks=TFLITE),
    pytest.param("pte", marks=PTE),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("bench"), "squeezenet1_1")


@pytest.fixture(scope="module")
def model(bench: Workbench) -> Artifact:
    """Every kind of layer: a strided and a depthwise convolution, pools, a residual, a concatenation, a classifier."""
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array((rng.standard_normal(shape) / np.prod(shape[1:]) ** 0.5).astype("f4"), name)

    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"], group=16, pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["c2", "zero", "six"], ["r2"]),
        helper.make_node("Conv", ["r2", "w3", "b3"], ["c3"]),
        helper.make_node("Add", ["c3", "p1"], ["a"]),
        helper.make_node("Relu", ["a"], ["r3"]),
        helper.make_node("Concat", ["r3", "p1"], ["k"], axis=1),
        helper.make_node("Conv", ["k", "w4", "b4"], ["c4"], strides=[2, 2]),
        helper.make_node("Relu", ["c4"], ["r4"]),
        helper.make_node("GlobalAveragePool", ["r4"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w5", "b5"], ["y"], transB=1),
    ]
    weights = [
        weight("w1", 16, 3, 3, 3),
        weight("w2", 16, 1, 3, 3),
        weight("w3", 16, 16, 1, 1),
        weight("w4", 24, 32, 3, 3),
        weight("w5", 10, 24),
        *(weight(f"b{i}", n) for i, n in ((1, 16), (2, 16), (3, 16), (4, 24), (5, 10))),
        numpy_helper.from_array(np.float32(0), "zero"),
        numpy_helper.from_array(np.float32(6), "six"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        weights,
    )
    job = bench.job()
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(network)
    onnx.save(network, job.out / "model.onnx")
    return job.seal(Kind.ONNX, bench.data.signature)


@pytest.fixture(scope="module")
def small(bench: Workbench, model: Artifact) -> Artifact:
    return bench.do(QuantizeStatic(keep_float="never"), model)[0]


@pytest.mark.parametrize("name", OTHERS)
def test_an_int8_model_stays_int8_and_agrees_in_the_other_runtime(bench: Workbench, small: Artifact, name: str) -> None:
    out, job = bench.do(Export(formats=("onnx", name), agreement=0.9), small)
    facts = job.facts["formats"][name]  # type: ignore[index]
    assert facts["int8_layers"] == 5
    assert facts["parity"]["examples"] == 256
    assert facts["parity"]["agreement"] >= 0.9
    assert facts["parity"]["cosine"] > 0.995
    assert all((out.path / file).stat().st_size == size for file, size in facts["files"].items())
    assert str(bench.folder).encode() not in b"".join((out.path / file).read_bytes() for file in facts["files"])


@pytest.mark.parametrize("name", OTHERS)
def test_a_float_model_answers_to_the_last_digits(bench: Workbench, model: Artifact, name: str) -> None:
    _, job = bench.do(Export(formats=("onnx", name)), model)
    facts = job.facts["formats"][name]  # type: ignore[index]
    assert facts["int8_layers"] == 0
    assert facts["parity"]["largest_difference"] < 1e-5
    assert facts["parity"]["agreement"] == 1.0


@TFLITE
def test_the_weights_of_the_litert_file_take_a_byte_each_and_pictures_have_channels_last(
    bench: Workbench, small: Artifact, model: Artifact
) -> None:
    eight, job = bench.do(Export(formats=("tflite",), agreement=0.9), small)
    full, _ = bench.do(Export(formats=("tflite",)), model)
    assert (eight.path / "model.tflite").stat().st_size < 0.6 * (full.path / "model.tflite").stat().st_size
    assert job.facts["formats"]["tflite"]["input_shape"] == [1, 32, 32, 3]  # type: ignore[index]


@PTE
def test_an_executorch_file_is_the_same_every_time_and_its_weights_take_a_byte_each(
    bench: Workbench, small: Artifact, model: Artifact
) -> None:
    eight, _ = bench.do(Export(formats=("pte",), agreement=0.9), small)
    again, _ = bench.do(Export(formats=("pte",), agreement=0.9), small)
    assert (eight.path / "model.pte").read_bytes() == (again.path / "model.pte").read_bytes()
    full, _ = bench.do(Export(formats=("pte",)), model)
    assert len((eight.path / "model.pte").read_bytes()) < len((full.path / "model.pte").read_bytes())


@PTE
def test_what_executorch_cannot_keep_is_refused(bench: Workbench, model: Artifact) -> None:
    dynamic, _ = bench.do(QuantizeDynamic(), model)
    with pytest.raises(PassError, match=r"pte.*DynamicQuantizeLinear"):
        bench.do(Export(formats=("pte",)), dynamic)


@TFLITE
def test_what_litert_cannot_keep_is_refused_not_turned_into_float(bench: Workbench, model: Artifact) -> None:
    dynamic, _ = bench.do(QuantizeDynamic(), model)
    with pytest.raises(PassError, match=r"tflite: the operator DynamicQuantizeLinear .* has no counterpart"):
        bench.do(Export(formats=("tflite",)), dynamic)


@TFLITE
def test_answers_that_differ_fail_the_export(bench: Workbench, small: Artifact, monkeypatch) -> None:
    write = TfLite.write

    def wrong(self: TfLite, onnx: Path, out: Path, int8_layers: int) -> Written:
        written = write(self, onnx, out, int8_layers)

        def turned(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            return {name: value[:, ::-1] for name, value in written.answers(inputs).items()}

        return replace(written, answers=turned)

    monkeypatch.setattr(TfLite, "write", wrong)
    with pytest.raises(ParityError, match=r"model\.tflite does not answer as the ONNX file"):
        bench.do(Export(formats=("tflite",)), small)


def test_a_missing_runtime_names_its_extra(bench: Workbench, model: Artifact, monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(PassError, match=r"pip install 'edgepipe\[openvino\]'"):
        bench.do(Export(formats=("openvino",)), model)
