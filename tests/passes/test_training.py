"""The training loop: budget, validation, early stopping, averaging, resumption."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from edgepipe.contract import Split
from edgepipe.contract.artifact import Artifact
from edgepipe.errors import DataError, ModelError, PassError
from edgepipe.passes.train import Train
from edgepipe.torch import artifact as torch_artifact
from edgepipe.training import training
from edgepipe.training.examples import Examples
from edgepipe.training.training_state import TrainingState, read_checkpoint, write_checkpoint
from tests.passes.workbench import Workbench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("bench"), small=True)


class Killed(Exception):
    """Stands for a kill between two steps."""


def killed_at(bench: Workbench, what: Train, share: float) -> Path:
    """State folder of a training that was killed when `share` of it was done."""

    def kill(done: float, _text: str) -> None:
        if done > share:
            raise Killed

    job = bench.job(progress=kill)
    with pytest.raises(Killed):
        what.apply(bench.loaded, job)
    return job.state


def test_a_budget_of_minutes_becomes_a_recorded_number_of_epochs(bench: Workbench, monkeypatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(training.time, "perf_counter", lambda: 0.05 * next(ticks))  # every step takes 0.05 s
    _, job = bench.do(Train(minutes=0.1, lr=0.05), bench.loaded)
    # 28 steps of 32 examples are 1.4 s an epoch; 6 s less the 0.65 s of timing hold 3.8.
    assert job.facts["epochs"] == len(job.facts["curve"]) == 4
    assert job.facts["epoch_share"] == pytest.approx(3.8 / 4, abs=0.02)
    share = job.facts["epoch_share"]
    assert f"0.1 minutes made 4 epochs of {share:.1%} of train on this machine" in job.facts["notes"][0]
    assert f"set epochs: 4, epoch_share: {share:g} instead of minutes" in job.facts["notes"][0]


def test_a_slow_first_step_is_no_measure_of_the_others(bench: Workbench, monkeypatch) -> None:
    ticks = itertools.count()

    def clock() -> float:
        number = next(ticks)
        return 0.05 * number + (20.0 if number else 0.0)  # a GPU that loads its kernels

    monkeypatch.setattr(training.time, "perf_counter", clock)
    _, job = bench.do(Train(minutes=0.1 + 20 / 60, lr=0.05), bench.loaded)
    assert job.facts["epochs"] == 4


def test_a_budget_below_one_epoch_is_kept_too(bench: Workbench, monkeypatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(training.time, "perf_counter", lambda: 0.05 * next(ticks))
    _, job = bench.do(Train(minutes=0.02, lr=0.05), bench.loaded)
    assert job.facts["epochs"] == 1
    assert 0 < job.facts["epoch_share"] < 0.5  # 1.2 s less the timing, of 1.4 s


def test_an_epoch_may_see_a_share_of_the_examples(bench: Workbench) -> None:
    steps: list[str] = []
    _, job = bench.do(
        Train(epochs=2, epoch_share=0.5, lr=0.05), bench.loaded, progress=lambda _done, text: steps.append(text)
    )
    assert len([text for text in steps if "epoch 1/2" in text]) == 14
    assert len([text for text in steps if "epoch 2/2" in text]) == 14
    assert job.facts["epoch_share"] == 0.5


def test_the_epochs_of_a_budget_give_the_same_weights_when_they_are_asked_for(bench: Workbench) -> None:
    model, job = bench.do(Train(minutes=0.02, lr=0.05), bench.loaded)
    share = job.facts.get("epoch_share", 1.0)
    again, _ = bench.do(Train(epochs=job.facts["epochs"], epoch_share=share, lr=0.05), bench.loaded)
    assert model.digest == again.digest


def test_a_resumed_budget_keeps_the_epochs_it_was_given_first(bench: Workbench) -> None:
    state = killed_at(bench, Train(minutes=0.05, lr=0.05), 0.0)
    saved = read_checkpoint(state / "epoch.pt")
    write_checkpoint(state / "epoch.pt", {**saved, "epochs": 3})
    job = bench.job(state=state)
    Train(minutes=0.05, lr=0.05).apply(bench.loaded, job)
    assert job.facts["epochs"] == 3


@pytest.mark.parametrize("more", [{}, {"ema": 0.9}, {"optimizer": "adamw", "lr": 0.002}])
def test_killed_with_validation_and_averaging_it_ends_at_the_same_weights(bench: Workbench, more) -> None:
    what = Train(**{"epochs": 4, "lr": 0.05, "validation_share": 0.2, "patience": 3, **more})
    whole, first = bench.do(what, bench.loaded)
    job = bench.job(state=killed_at(bench, what, 0.6))
    assert what.apply(bench.loaded, job).digest == whole.digest
    assert job.facts["resumed_from_epoch"] == 2
    shown = ("loss", "accuracy", "validation_loss", "validation_accuracy")
    for one, other in zip(first.facts["curve"], job.facts["curve"], strict=True):
        assert [one[name] for name in shown] == [other[name] for name in shown]


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_checkpoint_that_cannot_be_read_only_costs_time(bench: Workbench, damage: str) -> None:
    whole, _ = bench.do(Train(epochs=2, lr=0.05), bench.loaded)
    state = killed_at(bench, Train(epochs=2, lr=0.05), 0.7)
    content = bytearray((state / "epoch.pt").read_bytes())
    content[len(content) // 2] ^= 0x10
    (state / "epoch.pt").write_bytes(content[: len(content) // 2] if damage == "truncated" else content)
    job = bench.job(state=state)
    assert Train(epochs=2, lr=0.05).apply(bench.loaded, job).digest == whole.digest
    assert "resumed_from_epoch" not in job.facts


def test_validation_holds_out_the_same_share_of_every_class_and_never_trains_on_it(bench: Workbench) -> None:
    examples = Examples(bench.data, bench.data.signature, validation_share=0.25)
    labels = examples.labels
    assert sorted([*examples.rows, *examples.held_out]) == list(range(bench.data.count(Split.TRAIN)))
    for label in range(10):
        held = int((labels[examples.held_out] == label).sum())
        assert held == round(0.25 * int((labels == label).sum()))


def test_early_stopping_keeps_the_best_epoch(bench: Workbench) -> None:
    # A rate this high never settles: validation gets worse at some point, and the best epoch is not the last.
    what = Train(epochs=12, lr=0.5, schedule="constant", momentum=0.0, validation_share=0.3, patience=2)
    model, job = bench.do(what, bench.loaded)
    losses = [point["validation_loss"] for point in job.facts["curve"]]
    best = losses.index(min(losses)) + 1
    assert job.facts["kept_epoch"] == best
    assert len(losses) == min(12, best + 2)
    shorter, _ = bench.do(what.model_copy(update={"epochs": best}), bench.loaded)
    assert shorter.digest == model.digest  # a constant rate makes the first epochs of both the same


def test_patience_without_validation_is_refused() -> None:
    with pytest.raises(ValidationError, match="set validation_share"):
        Train(patience=2)


def test_a_share_that_holds_out_nothing_is_refused(bench: Workbench) -> None:
    with pytest.raises(DataError, match=r"validation_share=0\.001 of 897 training examples is none"):
        bench.do(Train(epochs=1, validation_share=0.001), bench.loaded)


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, small=True, classes=7)
    with pytest.raises(DataError, match=r"a label is 9, but the network has 7 classes: correct .* by model\.kwargs"):
        bench.do(Train(epochs=1), bench.loaded)


def test_parameters_of_another_type_are_refused_with_their_name(bench: Workbench) -> None:
    network = torch_artifact.build(bench.loaded)
    network.fc.half()
    with pytest.raises(ModelError, match=r"'fc\.weight' is float16: let the factory return the network with \.float"):
        training.train(network, Train(epochs=1), bench.job(), bench.loaded.signature, training.Objective())


def test_the_average_is_kept_when_asked_for(bench: Workbench) -> None:
    plain, _ = bench.do(Train(epochs=1, lr=0.05), bench.loaded)
    averaged, _ = bench.do(Train(epochs=1, lr=0.05, ema=0.99), bench.loaded)
    first: Artifact = bench.loaded
    start, end, middle = (bench.weight(model) for model in (first, plain, averaged))
    assert 0 < float((middle - start).norm()) < float((end - start).norm())


def test_best_weights_survive_a_save(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    state = TrainingState(tmp_path, network, optimizer, None)
    state.epochs = 5
    state.judge(1.0)
    kept = network.weight.detach().clone()
    with torch.no_grad():
        network.weight.add_(1)
    state.judge(2.0)
    state.save()
    again = TrainingState(tmp_path, torch.nn.Linear(2, 2), optimizer, None)
    assert again.resume()
    assert again.best is not None
    assert torch.equal(again.best["weight"], kept)
    assert (again.best_loss, again.since_best, again.epochs) == (1.0, 1, 5)


def test_bf16_is_taken_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgepipe.training import training

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    plain = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3), torch.nn.Conv2d(8, 8, 3, groups=2))
    depthwise = torch.nn.Sequential(plain, torch.nn.Conv2d(8, 16, 3, groups=8))
    monkeypatch.setattr(training, "cpu_likes_bf16", lambda: True)
    assert training.bf16_pays(plain)
    assert not training.bf16_pays(depthwise)
    assert training.bf16_pays(torch.nn.Conv2d(1, 4, 3))  # one channel is no depthwise convolution
    monkeypatch.setattr(training, "cpu_likes_bf16", lambda: False)
    assert not training.bf16_pays(plain)


def test_frozen_batch_norm_keeps_its_statistics_and_learns_its_weights(bench: Workbench) -> None:
    def statistics(model: Artifact) -> dict[str, torch.Tensor]:
        return {key: value for key, value in torch_artifact.build(model).state_dict().items() if "running" in key}

    settled, _ = bench.do(Train(epochs=2, lr=0.05), bench.loaded)
    before = statistics(settled)
    frozen, job = bench.do(Train(epochs=2, lr=0.01, freeze_batchnorm=True, validation_share=0.2), settled)
    free, _ = bench.do(Train(epochs=2, lr=0.01), settled)
    assert before
    assert all(torch.equal(before[key], value) for key, value in statistics(frozen).items())
    assert not any(torch.equal(before[key], value) for key, value in statistics(free).items())
    network, old = torch_artifact.build(frozen), torch_artifact.build(settled)
    assert not torch.equal(network.stem[1].weight, old.stem[1].weight)
    assert not torch.equal(network.stem[0].weight, old.stem[0].weight)
    assert job.facts["curve"][-1]["loss"] < job.facts["curve"][0]["loss"]


def test_a_last_step_that_diverges_is_no_result(bench: Workbench) -> None:
    whole = bench.data.count(Split.TRAIN)
    with pytest.raises(PassError, match=r"after the last step: training diverged. Lower passes.it.lr .now 1e\+38"):
        plain = Train(epochs=1, batch_size=whole, schedule="constant")
        bench.do(plain.model_copy(update={"lr": 1e38, "weight_decay": 1e5}), bench.loaded)  # a recipe may not say so


def test_no_step_goes_further_than_the_largest_gradient_allows(bench: Workbench) -> None:
    def moved(**settings: float) -> float:
        plain = {"lr": 0.1, "schedule": "constant", "momentum": 0, "weight_decay": 0, "epochs": 1, "batch_size": 32}
        trained, _ = bench.do(Train(**plain, **settings), bench.loaded)
        old, new = (dict(torch_artifact.build(model).named_parameters()) for model in (bench.loaded, trained))
        return float(torch.stack([(new[key] - old[key]).detach().square().sum() for key in old]).sum().sqrt())

    steps = bench.data.count(Split.TRAIN) // 32
    assert steps >= 20
    most = 0.1 * 0.01 * steps
    assert 0.01 * most < moved(max_grad_norm=0.01) <= 1.001 * most
    assert moved() > 2 * most
    assert moved() == moved(max_grad_norm=1e6)


def test_a_short_training_is_not_averaged_with_the_weights_it_began_with(bench: Workbench) -> None:
    plain, _ = bench.do(Train(epochs=4, lr=0.05), bench.loaded)
    averaged, _ = bench.do(Train(epochs=4, lr=0.05, ema=0.999), bench.loaded)
    assert bench.accuracy(bench.torch_logits(plain)) > 0.6
    assert bench.accuracy(bench.torch_logits(averaged)) > bench.accuracy(bench.torch_logits(plain)) - 0.1
