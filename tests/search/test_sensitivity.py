"""What each layer alone costs: the command, the pass that keeps the worst in float, and what both write."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from edgepipe.__main__ import main
from edgepipe.contract import Job, Split
from edgepipe.contract.artifact import Artifact, Kind, seal
from edgepipe.data.npz import NpzData
from edgepipe.errors import PassError
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.quant.study.answers import answers, effect, examples_of
from edgepipe.records.metrics import read_metrics
from edgepipe.records.sensitivity import Sensitivity
from edgepipe.tasks.classification import Classification
from tests.measure.graphs import pictures, save, tensor
from tests.small import arguments, npz

SHARED = Path(__file__).parents[3] / "shared"


def brittle(path: Path, *, huge: float = 0.0) -> Path:
    """Three convolutions of 16 channels and a classifier. Channel 0 never fires; `huge` is what "two" weighs it by.

    The scale of each of its channels then fits a weight that decides nothing, and the others are left a few steps.
    """
    rng = np.random.default_rng(0)
    two = rng.standard_normal((16, 16, 1, 1)).astype(np.float32) * 0.25
    two[:, 0] = huge
    bias = np.zeros(16, np.float32)
    bias[0] = -1e3
    stored = [tensor("one.weight", 16, 3, 3, 3), numpy_helper.from_array(bias, "one.bias")]
    stored += [numpy_helper.from_array(two, "two.weight"), tensor("three.weight", 16, 16, 3, 3)]
    stored += [tensor("fc.weight", 10, 16, scale=1.0)]
    nodes = [
        helper.make_node("Conv", ["x", "one.weight", "one.bias"], ["a"], name="n1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["ar"], name="r1"),
        helper.make_node("Conv", ["ar", "two.weight"], ["b"], name="n2"),
        helper.make_node("Relu", ["b"], ["br"], name="r2"),
        helper.make_node("Conv", ["br", "three.weight"], ["c"], name="n3", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["cr"], name="r3"),
        helper.make_node("GlobalAveragePool", ["cr"], ["g"], name="pool"),
        helper.make_node("Flatten", ["g"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "fc.weight"], ["y"], name="fc", transB=1),
    ]
    return save(path, nodes, stored)


class Bench:
    """An ONNX file as an artifact, .npz data and a job in a folder of its own."""

    def __init__(self, folder: Path, huge: float) -> None:
        self.folder = folder
        (folder / "in").mkdir(parents=True)
        brittle(folder / "in" / "model.onnx", huge=huge)
        self.data = NpzData(
            calibration=str(npz(folder / "c.npz", 40, 1, labels=False)),
            evaluation=str(npz(folder / "e.npz", 120, 2)),
        ).open(folder / "cache")
        self.model = seal(folder / "in", Kind.ONNX, self.data.signature)

    def quantized(self, name: str, **settings: object) -> tuple[Artifact, Job]:
        out = self.folder / name
        out.mkdir()
        job = Job(out, out, self.data, 0, "quantize")
        return QuantizeStatic.model_validate({"keep_float": "never", **settings}).apply(self.model, job), job

    def sqnr(self, artifact: Artifact) -> float:
        with examples_of(self.data, Split.EVALUATION, 120) as examples:
            wanted = answers(onnx.load(self.model.onnx), examples.rows)
            found = effect(answers(onnx.load(artifact.onnx), examples.rows), wanted, examples).sqnr_db
        assert found is not None
        return found


def operators(artifact: Artifact, folder: Path) -> Counter[str]:
    """Operators of the graph that ONNX Runtime runs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(artifact.onnx), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


def test_the_layer_that_int8_cannot_hold_is_found_and_keeping_it_float_helps(tmp_path: Path) -> None:
    bench = Bench(tmp_path, huge=30.0)
    whole, _ = bench.quantized("whole")
    kept, job = bench.quantized("kept", keep_worst=1)
    assert job.facts["kept_worst"] == ["n2"]
    assert job.facts["kept_float"] == {"n2": "keep_worst: alone in int8 it hurts most"}
    assert bench.sqnr(kept) > bench.sqnr(whole) + 20
    layers = job.facts["sensitivity"]
    assert layers[0]["node"] == "n2"  # type: ignore[index, call-overload]
    assert job.facts["notes"][0].startswith("two stays float: alone in int8 it makes ")  # type: ignore[index, union-attr]
    ran = operators(kept, tmp_path)
    assert ran["QLinearConv"] == 2
    assert ran["Conv"] + ran["FusedConv"] == 1  # n2 really is float, though int8 layers lie around it
    grown = kept.size_bytes - whole.size_bytes
    assert grown == pytest.approx(layers[0]["float_bytes"], abs=500)  # in int8 it has a bias, for its mean error  # type: ignore[index, call-overload, arg-type]


@pytest.mark.parametrize("preset", ["fast", "accurate"])
def test_keeping_a_layer_float_is_harmless_where_none_is_bad(preset: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path, huge=0.0)
    whole, _ = bench.quantized("whole", preset=preset)
    kept, job = bench.quantized("kept", preset=preset, keep_worst=1)
    assert bench.sqnr(whole) > 30
    assert bench.sqnr(kept) > bench.sqnr(whole) - 0.5
    again, _ = bench.quantized("again", preset=preset, keep_worst=1)
    assert again.digest == kept.digest
    assert len(job.facts["sensitivity"]) == 4  # type: ignore[arg-type]


def test_keeping_every_layer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PassError, match=r"passes\.quantize\.keep_worst: 4 of 4 layers"):
        Bench(tmp_path, huge=0.0).quantized("none", keep_worst=4)


def test_the_choice_rests_on_calibration_examples_alone(tmp_path: Path) -> None:
    assert QuantizeStatic(keep_worst=1).splits() == (Split.CALIBRATION,)
    one, other = Bench(tmp_path / "one", huge=0.0), Bench(tmp_path / "other", huge=0.0)
    other.data = NpzData(
        calibration=str(tmp_path / "one" / "c.npz"), evaluation=str(npz(tmp_path / "more.npz", 30, 9))
    ).open(tmp_path / "cache")
    assert one.quantized("q", keep_worst=2)[0].digest == other.quantized("q", keep_worst=2)[0].digest


def test_a_run_says_what_it_kept_and_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main(arguments(tmp_path, "passes.quantize.keep_worst=1", f"hydra.run.dir={run}")) == 0
    step = next(step for step in read_metrics(run).passes if step.label == "quantize")
    assert " stays float: alone in int8 it makes " in step.findings[0]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Sensitivity: each layer of quantize alone in int8" in page
    assert page.count("Share of the error that all layers make") == 2  # title and label of one chart
    assert "stays float" in capsys.readouterr().out


def command(folder: Path, *more: str) -> list[str]:
    return ["sensitivity", *arguments(folder), "--out", str(folder / "out"), *more]


def test_the_command_ranks_every_layer_and_answers_from_the_store_the_second_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path, "--examples", "60")) == 0
    shown = capsys.readouterr().out
    first = Sensitivity.model_validate_json((tmp_path / "out" / "sensitivity.json").read_text(encoding="utf-8"))
    assert {layer.name for layer in first.layers} == {"one", "two", "fc"}
    assert first.examples == 60
    assert first.quality == {}  # no labels
    assert first.task is not None
    assert first.task.name == "classification"
    assert all(layer.alike is not None and 0.5 < layer.alike <= 1 and layer.quality == {} for layer in first.layers)
    shares = [layer.error_share for layer in first.layers]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    macs = {layer.name: layer.macs for layer in first.layers}
    assert macs == {"one": 16 * 16 * 16 * 27, "two": 32 * 8 * 8 * 144, "fc": 320}
    assert first.every is not None
    assert first.every.sqnr_db is not None
    assert 15 < first.every.sqnr_db < min(layer.sqnr_db or 99 for layer in first.layers) + 1
    for name in ("one", "two", "fc", "all layers at once"):
        assert f" {name} " in shown
    markdown = (tmp_path / "out" / "sensitivity.md").read_text(encoding="utf-8")
    assert "| alone in int8 | operator | SQNR, dB |" in markdown
    page = (tmp_path / "out" / "sensitivity.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "http" not in page
    assert main(command(tmp_path, "--examples", "60")) == 0
    again = Sensitivity.model_validate_json((tmp_path / "out" / "sensitivity.json").read_text(encoding="utf-8"))
    assert again == first  # seconds included: nothing was measured again
    assert main(command(tmp_path, "--examples", "40")) == 0
    other = json.loads((tmp_path / "out" / "sensitivity.json").read_text(encoding="utf-8"))
    assert other["examples"] == 40


def test_an_effect_is_in_the_words_of_the_task_and_ruined_outputs_have_none() -> None:
    data = pictures(20)
    with examples_of(data, Split.EVALUATION, 20, Classification()) as examples:
        assert data.given is not None
        wanted = np.eye(10, dtype=np.float32)[data.given]
        got = np.roll(wanted, 1, axis=1)
        got[:15] = wanted[:15]
        found = effect(got, wanted, examples)
        assert (found.alike, found.quality["top1"]) == (0.75, 0.75)
        got[3] = np.nan
        ruined = effect(got, wanted, examples)
        assert (ruined.alike, ruined.quality) == (None, {})
    with examples_of(data, Split.EVALUATION, 20) as examples:
        assert effect(got, wanted, examples).alike is None  # nobody asks


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not there")
def test_a_resnet18_on_500_pictures_takes_well_under_two_minutes_of_one_core(tmp_path: Path) -> None:
    told = [
        "recipe=resnet18_ptq",
        "model.num_classes=10",
        f"model.weights={SHARED}/models/resnet18_cifar10.safetensors",
        f"data.root={SHARED}/data/cifar10.zip",
        "data.image_size=64",
        "data.calibration_size=200",
        f"store.root={tmp_path}/store",
    ]
    started = time.process_time()
    assert main(["sensitivity", *told, "--out", str(tmp_path)]) == 0
    assert time.process_time() - started < 100
    found = Sensitivity.model_validate_json((tmp_path / "sensitivity.json").read_text(encoding="utf-8"))
    assert len(found.layers) == 21
    top1 = found.quality["top1"]
    assert top1 > 0.8
    assert all(abs(layer.quality["top1"] - top1) < 0.02 for layer in found.layers)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--examples", "0"], "--examples: at least 1, found 0"),
        (["--prune", "1.5"], "--prune: a share between 0 and 1, found 1.5"),
        (["--prune", "0.5"], "the recipe has no prune_channels step"),
        (["~passes.quantize"], "the recipe has no quantize_static step"),
        (["passes.quantize.keep_wrost=1"], "Did you mean 'keep_worst'?"),
        (["--exmaples", "3"], "unrecognized arguments: --exmaples"),
    ],
)
def test_bad_input_exits_2_and_says_what_is_wrong(
    more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path, *more)) == 2
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("prune", "kind"),
    [
        ("{pass: prune_channels, ratio: 0.3, round_to: 8}", "channels"),
        ("{pass: prune_weights, amount: 0.3}", "weights"),
    ],
)
def test_each_group_alone_pruned(prune: str, kind: str, tmp_path: Path) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(
        "\n".join(
            [
                "# @package _global_",
                "defaults: [{/data: digits}, {/target: host}, _self_]",
                "model: {source: python, factory: 'tests.passes.workbench:small_network'}",
                "data: {image_size: 16, calibration_size: 40}",
                f"passes: {{prune: {prune}, quantize: {{pass: quantize_static, keep_float: never}}}}",
                f"store: {{root: {tmp_path}/store}}",
            ]
        ),
        encoding="utf-8",
    )
    out = tmp_path / "out"
    wanted = ["sensitivity", f"recipe={recipe}", "trust_code=true", "--prune", "0.5", "--examples", "40"]
    assert main([*wanted, "--out", str(out)]) == 0
    found = Sensitivity.model_validate_json((out / "sensitivity.json").read_text(encoding="utf-8"))
    assert len(found.layers) == 4
    assert found.prune_label == "prune"
    names = {effect.name for effect in found.pruned}
    if kind == "channels":  # the stem and the block's end are added: they lose channels together
        assert names == {"stem.0, block.3", "block.0"}
        assert all(effect.macs > 0 and effect.float_bytes > 0 for effect in found.pruned)
    else:
        assert names == {"stem.0", "block.0", "block.3", "fc"}
        assert all(effect.macs == 0 for effect in found.pruned)
    assert sum(effect.error_share for effect in found.pruned) == pytest.approx(1)
    assert "50% of each pruned alone" in (out / "sensitivity.md").read_text(encoding="utf-8")
