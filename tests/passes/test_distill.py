"""Distillation: the student learns the teacher's answers; operators are swapped and survive a reload."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from pydantic import ValidationError

from edgepipe.contract import Job, Split
from edgepipe.contract.artifact import Artifact
from edgepipe.errors import ModelError, PassError
from edgepipe.passes import teaching
from edgepipe.passes.distill import Distill
from edgepipe.passes.prune_channels import PruneChannels
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.passes.swap_operators import SwapOperators
from edgepipe.passes.train import Train
from edgepipe.torch import artifact as torch_artifact
from edgepipe.torch import lower, swap
from edgepipe.training import distillation
from tests.passes.workbench import Workbench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("bench"), small=True)


@pytest.fixture(scope="module")
def teacher(bench: Workbench) -> Artifact:
    return bench.do(Train(epochs=8, lr=0.05), bench.loaded)[0]


def distance(bench: Workbench, one: Artifact, other: Artifact) -> float:
    first, second = (torch.log_softmax(torch.from_numpy(bench.torch_logits(m)), 1) for m in (one, other))
    return float((first - second).abs().mean())


def test_a_pruned_child_comes_nearer_to_its_parent_than_labels_bring_it(bench: Workbench, teacher: Artifact) -> None:
    pruned, _ = bench.do(PruneChannels(ratio=0.5), teacher)
    taught, job = bench.do(Distill(epochs=4, teacher_weight=1.0), pruned, teacher=teacher)
    alone, _ = bench.do(Distill(epochs=4, teacher_weight=0.0), pruned, teacher=teacher)
    assert distance(bench, taught, teacher) < 0.7 * distance(bench, alone, teacher)
    assert bench.accuracy(bench.torch_logits(taught)) > 0.85
    assert len(job.facts["curve"]) == 4


def test_attention_maps_change_what_is_learned_and_leave_no_hook(bench: Workbench, teacher: Artifact) -> None:
    pruned, _ = bench.do(PruneChannels(ratio=0.5), teacher)
    plain, _ = bench.do(Distill(epochs=1), pruned, teacher=teacher)
    watched, _ = bench.do(Distill(epochs=1, attention=100.0), pruned, teacher=teacher)
    assert plain.digest != watched.digest
    network = torch_artifact.build(watched)
    assert all(not module._forward_hooks for module in network.modules())


def test_a_teacher_in_int8_teaches_as_well(bench: Workbench, teacher: Artifact) -> None:
    pruned, _ = bench.do(PruneChannels(ratio=0.5), teacher)
    taught, job = bench.do(Distill(epochs=4, teacher_weight=1.0, teacher_int8=True), pruned, teacher=teacher)
    by_float, _ = bench.do(Distill(epochs=4, teacher_weight=1.0), pruned, teacher=teacher)
    assert taught.digest != by_float.digest
    assert job.facts["teacher_agreement"] >= 0.97
    assert distance(bench, taught, teacher) < 1.3 * distance(bench, by_float, teacher)
    assert not list(job.state.glob("teacher"))
    again, _ = bench.do(Distill(epochs=4, teacher_weight=1.0, teacher_int8=True), pruned, teacher=teacher)
    assert again.digest == taught.digest


def test_a_float_teacher_answers_in_onnx_runtime_where_that_gives_the_same(
    bench: Workbench, teacher: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    class Noted(distillation.RuntimeTeacher):
        def __init__(self, answers) -> None:
            super().__init__(answers)
            made.append(self)

    monkeypatch.setattr(distillation, "RuntimeTeacher", Noted)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    quick = {"epochs": 1, "teacher_weight": 1.0, "precision": "float32"}
    there, job = bench.do(Distill(**quick), teacher, teacher=teacher)
    assert len(made) == 1 and not list(job.state.glob("teacher"))
    rows = next(bench.data.batches(Split.TRAIN, 8)).only
    with torch.no_grad():
        wanted = torch_artifact.build(teacher).eval()(torch.from_numpy(rows)).numpy()
    assert made[0].answers(rows) == pytest.approx(wanted, rel=1e-3, abs=1e-3)
    for other in ({"precision": "bf16"}, {"attention": 1.0}):
        bench.do(Distill(**quick | other), teacher, teacher=teacher)
    assert len(made) == 1  # bf16 and attention maps are torch's

    def failing(error: Exception) -> Callable[..., None]:
        def export(*_args, **_more) -> None:
            raise error

        return export

    for error in (PassError("the network cannot be lowered to ONNX"), RuntimeError("no kernel for Conv of float64")):
        monkeypatch.setattr(lower, "export", failing(error))
        here, _ = bench.do(Distill(**quick), teacher, teacher=teacher)
        assert len(made) == 1
    assert bench.torch_logits(here) == pytest.approx(bench.torch_logits(there), rel=0.05, abs=0.05)


def test_a_teacher_that_int8_spoils_is_refused(
    bench: Workbench, teacher: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = teaching.QuantizeStatic.apply

    def spoiled(self: QuantizeStatic, model: Artifact, job: Job) -> Artifact:
        """The last bias favours one class, as a broken calibration would."""
        made = real(self, model, job)
        file = onnx.load(made.onnx)
        (bias,) = [item for item in file.graph.initializer if item.name.endswith("bias_quantized")][-1:]
        bias.CopyFrom(numpy_helper.from_array((np.eye(10)[3] * 1e9).astype(np.int32), bias.name))
        onnx.save(file, made.onnx)
        return made

    monkeypatch.setattr(teaching.QuantizeStatic, "apply", spoiled)
    with pytest.raises(PassError, match="calibration examples otherwise than in float"):
        bench.do(Distill(epochs=1, teacher_int8=True), teacher, teacher=teacher)
    with pytest.raises(ValidationError, match="an int8 teacher gives answers only"):
        Distill(attention=1.0, teacher_int8=True)


def test_another_architecture_can_be_the_student(bench: Workbench, teacher: Artifact) -> None:
    student, _ = bench.do(Distill(epochs=1, student={"name": "mobilenet_v3_small"}), teacher, teacher=teacher)
    assert torch_artifact.read_architecture(student)["base"]["name"] == "mobilenet_v3_small"
    assert bench.torch_logits(student).shape == (32, 10)


def test_a_student_that_does_not_take_the_pictures_is_refused(bench: Workbench, teacher: Artifact) -> None:
    with pytest.raises(PassError, match=r"passes.it.student.name: 'vit_b_16' does not take examples of shape \(3, 16"):
        bench.do(Distill(epochs=1, student={"name": "vit_b_16"}), teacher, teacher=teacher)
    with pytest.raises(ValidationError, match="finite number"):
        Distill(temperature=float("inf"))


def test_a_teacher_of_other_classes_or_kind_is_refused(bench: Workbench, teacher: Artifact, tmp_path: Path) -> None:
    seven = Workbench(tmp_path, small=True, classes=7)
    with pytest.raises(PassError, match="the network has 10 classes and its teacher 7"):
        bench.do(Distill(epochs=1), teacher, teacher=seven.loaded)
    with pytest.raises(PassError, match="the baseline is onnx"):
        bench.do(Distill(epochs=1), teacher, teacher=bench.lowered(teacher))


def test_smooth_activations_and_gates_are_swapped_and_reload(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, "mobilenet_v3_small")
    swapped, job = bench.do(SwapOperators(), bench.loaded)
    network = torch_artifact.build(swapped)
    kinds = {type(module).__name__ for module in network.modules()}
    assert "ReLU6" in kinds
    assert not kinds & {"Hardswish", "SqueezeExcitation", "Hardsigmoid"}
    assert job.facts["swapped"] == {"relu6": 19, "identity": 9}
    onnx = bench.onnx_logits(bench.lowered(swapped))
    assert np.abs(onnx - bench.torch_logits(swapped)).max() <= 1e-3 * np.abs(onnx).max()
    pruned, _ = bench.do(PruneChannels(ratio=0.3, round_to=8), swapped)
    assert bench.torch_logits(pruned).shape == (32, 10)
    half, _ = bench.do(SwapOperators(activations="keep"), bench.loaded)
    kinds = {type(module).__name__ for module in torch_artifact.build(half).modules()}
    assert "Hardswish" in kinds
    assert "SqueezeExcitation" not in kinds


def test_layers_are_fitted_to_what_they_answered_before_the_swap(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, "mobilenet_v3_small")
    trained, _ = bench.do(Train(epochs=4, lr=0.05), bench.loaded)
    bare, _ = bench.do(SwapOperators(), trained)
    fitted, job = bench.do(SwapOperators(refit_examples=200), trained)
    wanted = bench.torch_logits(trained)
    errors = [np.square(bench.torch_logits(model) - wanted).mean() for model in (bare, fitted)]
    assert errors[1] < 0.5 * errors[0], errors
    assert job.facts["refit_examples"] == 200
    assert "features.0.0" not in job.facts["refit_unexplained_variance"], "nothing was replaced before the first layer"
    assert SwapOperators().splits() == ()
    assert SwapOperators(refit_examples=1).splits() == (Split.TRAIN,)


def test_swap_refusals(bench: Workbench, teacher: Artifact) -> None:
    with pytest.raises(PassError, match="nothing to replace"):
        bench.do(SwapOperators(), teacher)
    with pytest.raises(ModelError, match="no module 'nowhere'"):
        swap.apply(torch.nn.Sequential(), {"nowhere": "relu"})
    with pytest.raises(ModelError, match="unknown replacement 'tanh'"):
        swap.apply(torch.nn.Sequential(torch.nn.SiLU()), {"0": "tanh"})


def test_a_replaced_activation_leaves_its_input_alone_where_the_old_one_did() -> None:
    network = torch.nn.Sequential(torch.nn.GELU(), torch.nn.SiLU(inplace=True))
    swap.apply(network, swap.plan(network, activation="relu", gates=False))
    assert [module.inplace for module in network] == [False, True]
