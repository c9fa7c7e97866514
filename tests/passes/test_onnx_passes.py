"""Passes on ONNX graphs: what they change, when they change nothing, what they refuse."""

from __future__ import annotations

import collections
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from edgepipe.contract.artifact import Artifact
from edgepipe.errors import ParityError, PassError
from edgepipe.onnx.session import Session
from edgepipe.passes.export import Export
from edgepipe.passes.quantize_dynamic import QuantizeDynamic
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.passes.quantize_weights import QuantizeWeights
from edgepipe.passes.to_float16 import ToFloat16
from edgepipe.passes.train import Train
from tests.passes.workbench import Workbench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def model(bench: Workbench) -> Artifact:
    return bench.lowered(bench.do(Train(epochs=1, lr=0.05), bench.loaded)[0])


def really_run(file: Path, tmp_path: Path) -> collections.Counter[str]:
    """Operators of the graph that ONNX Runtime makes of a file."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return collections.Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)


def broken(bench: Workbench, model: Artifact, value: float) -> Artifact:
    """The model with one weight set to `value`."""
    network = onnx.load(model.onnx)
    weight = next(item for item in network.graph.initializer if len(item.dims) == 4)
    array = numpy_helper.to_array(weight).copy()
    array.flat[0] = value
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    job = bench.job()
    onnx.save(network, job.out / "model.onnx")
    return job.seal(model.kind, model.signature)


@pytest.mark.parametrize("observer", ["min_max", "moving_average", "percentile", "mse", "relative_mse", "entropy"])
def test_static_int8_answers_as_float_and_a_quarter_of_the_bytes(
    bench: Workbench, model: Artifact, observer: str
) -> None:
    small, job = bench.do(QuantizeStatic(observer=observer), model)
    agreement = (bench.onnx_logits(small).argmax(1) == bench.onnx_logits(model).argmax(1)).mean()
    assert agreement >= (0.5 if observer == "entropy" else 0.9)  # entropy clips most; chance is 0.1
    assert small.onnx.stat().st_size < 0.27 * model.onnx.stat().st_size
    assert job.facts["kept_float"] == {}


def test_every_convolution_the_pool_and_the_classifier_run_in_int8(
    bench: Workbench, model: Artifact, tmp_path: Path
) -> None:
    assert any(node.op_type == "ReduceMean" for node in onnx.load(model.onnx).graph.node)
    operators = really_run(bench.do(QuantizeStatic(), model)[0].onnx, tmp_path)
    assert operators["QLinearConv"] == 20
    assert operators["QGemm"] == 1
    assert operators["QLinearGlobalAveragePool"] == 1
    assert not {"Conv", "FusedConv", "Gemm", "ReduceMean"} & set(operators)


def test_per_tensor_weights_have_one_scale(bench: Workbench, model: Artifact) -> None:
    graph = onnx.load(bench.do(QuantizeStatic(per_channel=False), model)[0].onnx).graph
    scales = {item.name: item for item in graph.initializer if item.name.endswith("weight_scale")}
    assert scales
    assert all(len(item.dims) == 0 for item in scales.values())


def test_an_excluded_operator_stays_float(bench: Workbench, model: Artifact, tmp_path: Path) -> None:
    operators = really_run(bench.do(QuantizeStatic(exclude=("Gemm",)), model)[0].onnx, tmp_path)
    assert operators["Gemm"] == 1
    assert operators["QLinearConv"] == 20


def test_static_refusals(bench: Workbench, model: Artifact) -> None:
    with pytest.raises(PassError, match=r"no node or operator 'Gemmm'\. Did you mean 'Gemm'\?"):
        bench.do(QuantizeStatic(exclude=("Gemmm",)), model)
    with pytest.raises(PassError, match="quantized already"):
        bench.do(QuantizeStatic(), bench.do(QuantizeStatic(), model)[0])
    with pytest.raises(PassError, match="NaN or infinity"):
        bench.do(QuantizeStatic(), broken(bench, model, float("nan")))


def test_a_weight_that_is_no_number_is_refused_by_every_pass(bench: Workbench, model: Artifact) -> None:
    bad = broken(bench, model, float("nan"))
    for one in (QuantizeDynamic(), QuantizeWeights(), ToFloat16(), ToFloat16(mode="compute")):
        with pytest.raises(PassError, match=r"the weight '.+' holds NaN"):
            bench.do(one, bad)


def test_a_setting_without_effect_is_noted(bench: Workbench, model: Artifact) -> None:
    _, job = bench.do(QuantizeStatic(percentile=99.9), model)
    assert job.facts["notes"] == [
        "percentile=99.9 changes nothing with observer=relative_mse: set observer=percentile, or leave it out"
    ]
    _, job = bench.do(QuantizeStatic(percentile=99.9, observer="percentile"), model)
    assert "notes" not in job.facts


def test_dynamic_int8_takes_matrix_products_and_leaves_convolutions(
    bench: Workbench, model: Artifact, tmp_path: Path
) -> None:
    small, job = bench.do(QuantizeDynamic(), model)
    assert job.facts["int8_nodes"] == 1
    operators = really_run(small.onnx, tmp_path)
    assert operators["QLinearConv"] + operators["ConvInteger"] == 0
    assert sum(count for name, count in operators.items() if "MatMulInteger" in name or "DynamicQuantize" in name) >= 1
    assert (
        np.abs(bench.onnx_logits(small) - bench.onnx_logits(model)).max() < 0.1 * np.abs(bench.onnx_logits(model)).max()
    )
    slow, _ = bench.do(QuantizeDynamic(convolutions=True), model)
    assert really_run(slow.onnx, tmp_path)["ConvInteger"] == 20


def test_dynamic_refusals(bench: Workbench, model: Artifact) -> None:
    with pytest.raises(PassError, match=r"exclude: the graph has no node 'nope'"):
        bench.do(QuantizeDynamic(exclude=("nope",)), model)
    gemm = next(node.name for node in onnx.load(model.onnx).graph.node if node.op_type == "Gemm")
    with pytest.raises(PassError, match="nothing to quantize"):
        bench.do(QuantizeDynamic(exclude=(gemm,)), model)


@pytest.mark.parametrize("mode", ["storage", "compute"])
def test_float16_halves_the_bytes_and_keeps_the_answers(bench: Workbench, model: Artifact, mode: str) -> None:
    half, _ = bench.do(ToFloat16(mode=mode), model)
    assert half.onnx.stat().st_size < 0.51 * model.onnx.stat().st_size
    assert (
        np.abs(bench.onnx_logits(half) - bench.onnx_logits(model)).max() < 0.02 * np.abs(bench.onnx_logits(model)).max()
    )
    session = ort.InferenceSession(str(half.onnx), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].type == "tensor(float)"


def test_weights_beyond_float16_are_refused(bench: Workbench, model: Artifact) -> None:
    with pytest.raises(PassError, match=r"beyond float16's 65504"):
        bench.do(ToFloat16(), broken(bench, model, 1e6))


@pytest.mark.parametrize(("batch", "shown"), [("dynamic", "batch"), (4, 4), (1, 1)])
def test_export_sets_the_batch(bench: Workbench, model: Artifact, batch: object, shown: object) -> None:
    out, job = bench.do(Export(batch=batch), model)
    session = ort.InferenceSession(str(out.onnx), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[0] == shown
    assert job.facts["parity"]["examples"] == 256


def test_export_converts_the_opset(bench: Workbench, model: Artifact) -> None:
    opset = next(item.version for item in onnx.load(model.onnx).opset_import if item.domain == "")
    out, _ = bench.do(Export(opset=opset + 1), model)
    assert next(item.version for item in onnx.load(out.onnx).opset_import if item.domain == "") == opset + 1


def test_the_file_holds_no_path_no_trace_and_is_the_same_every_time(bench: Workbench, model: Artifact) -> None:
    first, _ = bench.do(Export(), model)
    again, _ = bench.do(Export(), model)
    content = first.onnx.read_bytes()
    assert content == again.onnx.read_bytes()
    assert str(Path(__file__).parents[2]).encode() not in content
    assert b"torchvision/models" not in content
    assert b"stack_trace" not in content


def test_ort_format_opens_and_names_its_operators(bench: Workbench, model: Artifact) -> None:
    small, _ = bench.do(QuantizeStatic(), model)
    out, _ = bench.do(Export(formats=("onnx", "ort")), small)
    assert np.allclose(bench.onnx_logits(out.path / "model.ort"), bench.onnx_logits(out), atol=1e-3)
    listed = (out.path / "required_operators.config").read_text()
    assert "ai.onnx" in listed
    assert "QLinearConv" in listed
    assert str(bench.folder) not in listed


def test_a_file_that_answers_otherwise_fails_the_export(bench: Workbench, model: Artifact, monkeypatch) -> None:
    from edgepipe.onnx import answers

    other = bench.onnx_logits

    class Wrong(answers.NamedAnswers):
        def __call__(self, examples):  # type: ignore[no-untyped-def]
            return {name: value * 1.01 for name, value in super().__call__(examples).items()}

    asked = answers.named_answers
    monkeypatch.setattr(
        answers, "named_answers", lambda file: Wrong(Session(file)) if file == model.onnx else asked(file)
    )
    with pytest.raises(ParityError, match="differ"):
        bench.do(Export(), model)
    monkeypatch.undo()
    assert other(model).shape == (32, 10)
