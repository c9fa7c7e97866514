"""Whether int8 is worth it is measured once, kept beside the model, and obeyed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from edgepipe.__main__ import main
from edgepipe.contract import Job, Signature
from edgepipe.contract.artifact import Artifact, Kind, seal
from edgepipe.data.npz import NpzData
from edgepipe.errors import PassError
from edgepipe.measure.latency import paired_latency
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.passes.time_int8 import TIMES_FILE, Int8Times, TimeInt8, measured_times
from edgepipe.quant.place.layers import int8_layers
from edgepipe.records.metrics import read_metrics
from edgepipe.sources.onnx_file import OnnxModel
from tests import any_models
from tests.measure.graphs import save, tensor

SHAPE = (32, 16, 16)


def network(path: Path, *, groups: int, kernel: int) -> Path:
    """Four convolutions of 32 channels with ReLU, a pool and a classifier."""
    nodes: list[NodeProto] = []
    stored: list[TensorProto] = [tensor("fc.weight", 10, 32, scale=1.0)]
    now = "x"
    for i in range(4):
        stored.append(tensor(f"layer{i}.weight", 32, 32 // groups, kernel, kernel))
        pads = [kernel // 2] * 4
        nodes.append(helper.make_node("Conv", [now, f"layer{i}.weight"], [f"c{i}"], f"n{i}", pads=pads, group=groups))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"], f"a{i}"))
        now = f"r{i}"
    nodes += [
        helper.make_node("GlobalAveragePool", [now], ["g"], "pool"),
        helper.make_node("Flatten", ["g"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "fc.weight"], ["y"], "fc", transB=1),
    ]
    return save(path, nodes, stored, input_shape=("n", *SHAPE))


class Bench:
    def __init__(self, folder: Path, **kind: int) -> None:
        self.folder = folder
        (folder / "in").mkdir(parents=True)
        network(folder / "in" / "model.onnx", **kind)
        draw = np.random.default_rng(0)
        for name in ("c", "e"):
            np.savez(folder / f"{name}.npz", images=draw.standard_normal((40, *SHAPE)).astype(np.float32))
        self.data = NpzData(calibration=str(folder / "c.npz"), evaluation=str(folder / "e.npz")).open(folder / "cache")
        self.model = seal(folder / "in", Kind.ONNX, self.data.signature)

    def do(self, what: Any, model: Artifact, name: str) -> tuple[Artifact, Job]:
        out = self.folder / name
        out.mkdir()
        job = Job(out, out, self.data, 0, name)
        return what.apply(model, job), job


@pytest.fixture(scope="module")
def depthwise(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, Artifact, Job]:
    """5x5 depthwise convolutions, for which ONNX Runtime's float kernel is the faster one; timed."""
    bench = Bench(tmp_path_factory.mktemp("depthwise"), groups=32, kernel=5)
    timed, job = bench.do(TimeInt8(seconds=0.5), bench.model, "timed")
    return bench, timed, job


def test_a_model_that_int8_makes_slower_stays_float(depthwise: tuple[Bench, Artifact, Job]) -> None:
    bench, timed, job = depthwise
    times = Int8Times.model_validate_json((timed.path / TIMES_FILE).read_text(encoding="utf-8"))
    assert times.times_faster["never"][2] < 1  # else this network does not show what it shall, on this processor
    assert job.facts["choice"] == "float"
    kept, kept_job = bench.do(QuantizeStatic(keep_float="measured"), timed, "kept")
    assert kept.onnx.read_bytes() == bench.model.onnx.read_bytes()
    (note,) = kept_job.facts["notes"]
    assert note.startswith("int8 would not be faster than float for this model: it stays float. passes.")
    assert set(kept_job.facts["kept_float"]) >= {"n0", "n1", "n2", "n3"}  # type: ignore[arg-type]
    forced, _ = bench.do(QuantizeStatic(keep_float="never"), timed, "forced")
    example = np.zeros((1, *SHAPE), np.float32)
    assert paired_latency(bench.model.onnx, forced.onnx, example, seconds=0.5).times_faster_ci95[1] < 1


def test_measuring_leaves_the_model_as_it_is_and_quantizing_again_gives_the_same(
    depthwise: tuple[Bench, Artifact, Job],
) -> None:
    bench, timed, _ = depthwise
    assert timed.onnx.read_bytes() == bench.model.onnx.read_bytes()
    one = bench.do(QuantizeStatic(keep_float="measured"), timed, "one")[0]
    assert bench.do(QuantizeStatic(keep_float="measured"), timed, "two")[0].digest == one.digest


def test_a_model_that_int8_makes_faster_runs_in_int8(tmp_path: Path) -> None:
    bench = Bench(tmp_path, groups=1, kernel=3)
    timed, job = bench.do(TimeInt8(seconds=0.5), bench.model, "timed")
    times = measured_times(timed, "quantize").times_faster
    assert times["never"][1] > 1
    assert job.facts["choice"] in ("never", "auto")
    assert "int8 against float, timed on " in str(job.facts["notes"])
    quantized, _ = bench.do(QuantizeStatic(keep_float="measured"), timed, "quantized")
    assert int8_layers(quantized.onnx) >= 4
    # Untuned scales are timed; the file with the real ones is no slower.
    example = np.random.default_rng(0).standard_normal((1, *SHAPE)).astype(np.float32)
    assert paired_latency(bench.model.onnx, quantized.onnx, example, seconds=0.5).times_faster_ci95[1] > 1


def timed_as(**found: tuple[float, float, float]) -> Int8Times:
    return Int8Times.model_validate(
        {"processor": "p", "threads": 1, "times_faster": {"float": (1.0, 1.0, 1.0), **found}}
    )


@pytest.mark.parametrize(
    ("found", "choice"),
    [
        ({"never": (0.9, 0.8, 0.95)}, "float"),
        ({"never": (0.9, 0.8, 0.95), "auto": (1.3, 1.2, 1.4)}, "auto"),
        ({"never": (1.25, 1.2, 1.3), "auto": (1.3, 1.2, 1.4)}, "never"),  # not told apart: fewer bytes
        ({"never": (1.1, 1.05, 1.15), "auto": (1.3, 1.2, 1.4)}, "auto"),
        ({"never": (0.99, 0.9, 1.1), "auto": (0.98, 0.9, 1.1)}, "float"),
    ],
)
def test_the_fastest_wins_and_a_tie_goes_to_int8(found: dict[str, tuple[float, float, float]], choice: str) -> None:
    assert timed_as(**found).choice == choice


def test_measured_without_a_measurement_is_refused_with_the_remedy(tmp_path: Path) -> None:
    bench = Bench(tmp_path, groups=1, kernel=1)
    with pytest.raises(PassError, match=r"passes\.q: keep_float=measured .* put a step `pass: time_int8` directly"):
        bench.do(QuantizeStatic(keep_float="measured"), bench.model, "q")


def test_a_model_without_layers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.mkdir()
    save(path / "model.onnx", [helper.make_node("Relu", ["x"], ["y"], name="r")], [], output_shape=("n", 3, 16, 16))
    model = seal(path, Kind.ONNX, Signature(input_shape=(3, 16, 16)))
    (tmp_path / "out").mkdir()
    with pytest.raises(PassError, match="nothing to time"):
        TimeInt8().apply(model, Job(tmp_path / "out", tmp_path, Bench(tmp_path / "b", groups=1, kernel=1).data, 0, "t"))


def test_in_a_recipe_the_report_says_what_was_timed_and_the_audit_what_to_set(tmp_path: Path) -> None:
    bench = Bench(tmp_path, groups=32, kernel=5)
    common = [
        "recipe=ptq",
        "model=onnx",
        f"model.path={bench.model.onnx}",
        "data=npz",
        f"data.calibration={tmp_path}/c.npz",
        f"data.evaluation={tmp_path}/e.npz",
        "~goal",
        "~passes.export",
        f"store.root={tmp_path}/store",
        "measure.latency_seconds=0.5",
    ]
    assert main([*common, "passes.quantize.keep_float=never", f"hydra.run.dir={tmp_path}/loses"]) == 0
    said = read_metrics(tmp_path / "loses").passes[-1].findings
    assert any("int8 is slower than float here (0." in text for text in said)
    assert any("keep_float=never asks for that: leave it out" in text for text in said)
    steps = "{time: {pass: time_int8, seconds: 0.5}, quantize: {pass: quantize_static, keep_float: measured}}"
    recipe = tmp_path / "measured.yaml"
    recipe.write_text(
        "defaults: [{/model: onnx}, {/data: npz}, {/target: host}, _self_]\n" + f"passes: {steps}\n", encoding="utf-8"
    )
    rest = [item for item in common[1:] if not item.startswith("~")]
    assert main([f"recipe={recipe}", *rest, f"hydra.run.dir={tmp_path}/kept"]) == 0
    metrics = read_metrics(tmp_path / "kept")
    assert metrics.passes[1].findings[0].startswith("int8 against float, timed on ")
    assert not any("slower" in text for step in metrics.passes for text in step.findings)
    assert metrics.versus_baseline is not None
    assert metrics.versus_baseline.times_faster_ci95[1] > 0.97


def test_several_inputs_are_timed_with_numbers_of_their_types(tmp_path: Path) -> None:
    any_models.tokens(tmp_path)
    data = NpzData(calibration=tmp_path / "c.npz", evaluation=tmp_path / "e.npz").open(tmp_path / "cache")
    (tmp_path / "in").mkdir()
    job = Job(tmp_path / "in", tmp_path, data, 0, "load")
    model = OnnxModel(path=str(tmp_path / "m.onnx")).load(job.out, data.signature, 0, job)
    (tmp_path / "out").mkdir()
    TimeInt8(seconds=0.05).apply(model, Job(tmp_path / "out", tmp_path, data, 0, "timed"))
    times = Int8Times.model_validate_json((tmp_path / "out" / TIMES_FILE).read_text(encoding="utf-8"))
    assert times.times_faster["never"][0] > 0
