"""Pruning in several steps with recovery, by gradient, and in patterns."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from edgepipe.contract import Split
from edgepipe.contract.artifact import Artifact
from edgepipe.errors import PassError
from edgepipe.passes.finetune import Finetune
from edgepipe.passes.prune_channels import PruneChannels
from edgepipe.passes.prune_weights import PruneWeights
from edgepipe.passes.train import Train
from edgepipe.torch import artifact as torch_artifact
from tests.passes.workbench import Workbench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("bench"), small=True)


@pytest.fixture(scope="module")
def trained(bench: Workbench) -> Artifact:
    return bench.do(Train(epochs=6, lr=0.05), bench.loaded)[0]


def widths(model: Artifact) -> list[int]:
    network = torch_artifact.build(model)
    return [network.stem[0].out_channels, network.block[0].out_channels]


def test_several_cuts_end_at_the_widths_of_one(bench: Workbench, trained: Artifact) -> None:
    once, _ = bench.do(PruneChannels(ratio=0.5, round_to=8), trained)
    often, job = bench.do(PruneChannels(ratio=0.5, round_to=8, steps=6), trained)
    assert widths(once) == widths(often) == [16, 24]
    assert job.facts["removed_channel_share"] == pytest.approx(0.5)


def test_a_module_may_lose_a_share_of_its_own(bench: Workbench, trained: Artifact) -> None:
    for ratio, ratios, left in (
        (0.5, {"block": 0.25}, [24, 36]),  # the stem loses channels together with the last layer of the block
        (0.0, {"block.0": 0.25}, [32, 36]),
        (0.5, {"stem": 0.0, "block.0": 0.75, "block": 0.25}, [32, 12]),
    ):
        for steps in (1, 3):
            pruned, _ = bench.do(PruneChannels(ratio=ratio, ratios=ratios, round_to=4, steps=steps), trained)
            assert widths(pruned) == left
    with pytest.raises(PassError, match=r"passes\.it\.ratios: the network has no module 'blok'\. Did you mean 'block'"):
        bench.do(PruneChannels(ratio=0.5, ratios={"blok": 0.25}), trained)
    with pytest.raises(PassError, match=r"ratios\.fc: it holds no layer that can lose channels"):
        bench.do(PruneChannels(ratio=0.5, ratios={"fc": 0.25}), trained)
    with pytest.raises(ValidationError, match="ratios need scope=uniform"):
        PruneChannels(ratio=0.5, ratios={"block": 0.25}, scope="global")


@pytest.mark.parametrize(
    ("ratio", "round_to", "remedy"),
    [(0.2, 64, "round_to=8"), (0.1, 16, "round_to=4"), (0.01, 8, "ratio above 0.010, and round_to=1")],
)
def test_a_share_that_rounds_to_nothing_is_told_with_what_to_set(
    bench: Workbench, ratio: float, round_to: int, remedy: str
) -> None:
    same, job = bench.do(PruneChannels(ratio=ratio, round_to=round_to), bench.loaded)
    assert widths(same) == [32, 48]
    (note,) = [note for note in job.facts["notes"] if "no channel was removed" in note]  # type: ignore[union-attr]
    assert "48 channels of 'block.0'" in note and note.endswith(f"Set passes.it.{remedy}")
    cut, job = bench.do(PruneChannels(ratio=ratio + 0.01, round_to=int(remedy[-1])), bench.loaded)
    assert widths(cut)[1] < 48
    assert not any("no channel was removed" in note for note in job.facts["notes"])  # type: ignore[union-attr]


def test_recovery_between_cuts_keeps_more_accuracy_and_its_curve_is_recorded(
    bench: Workbench, trained: Artifact
) -> None:
    bare, _ = bench.do(PruneChannels(ratio=0.6, round_to=4, steps=3), trained)
    recovered, job = bench.do(PruneChannels(ratio=0.6, round_to=4, steps=3, recover={"epochs": 2}), trained)
    assert widths(bare) == widths(recovered)
    assert bench.accuracy(bench.torch_logits(recovered)) > bench.accuracy(bench.torch_logits(bare))
    assert [point["epoch"] for point in job.facts["curve"]] == [1, 2] * 3


@pytest.mark.parametrize("what", [PruneChannels, PruneWeights])
def test_a_killed_schedule_ends_at_the_same_weights(bench: Workbench, trained: Artifact, what) -> None:
    class Killed(Exception):
        pass

    def kill(share: float, _text: str) -> None:
        if share > 0.7:
            raise Killed

    more = {"ratio": 0.5, "round_to": 8} if what is PruneChannels else {"amount": 0.7}
    chosen = what(**more, steps=3, recover={"epochs": 1})
    whole, _ = bench.do(chosen, trained)
    job = bench.job(progress=kill)
    with pytest.raises(Killed):
        chosen.apply(trained, job)
    assert chosen.apply(trained, bench.job(state=job.state)).digest == whole.digest


def test_gradients_rank_channels_otherwise_than_norms_and_need_train_data(bench: Workbench, trained: Artifact) -> None:
    by_norm, by_gradient = (
        PruneChannels(ratio=0.5, round_to=8),
        PruneChannels(ratio=0.5, round_to=8, importance="taylor"),
    )
    assert (by_norm.splits(), by_gradient.splits()) == ((), (Split.TRAIN,))
    one, other = bench.do(by_norm, trained)[0], bench.do(by_gradient, trained)[0]
    assert widths(one) == widths(other)
    assert not torch.equal(bench.weight(one), bench.weight(other))
    assert bench.do(by_gradient, trained)[0].digest == other.digest


def zeros(model: Artifact) -> dict[str, torch.Tensor]:
    network = torch_artifact.build(model)
    torch_artifact.bake_masks(network)
    return {
        name: module.weight == 0
        for name, module in network.named_modules()
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))
    }


def test_of_every_four_weights_the_two_largest_stay_through_finetuning(bench: Workbench, trained: Artifact) -> None:
    pruned, job = bench.do(PruneWeights(pattern=(2, 4)), trained)
    assert job.facts["without_pattern"] == ["stem.0"]  # three input channels
    tuned, _ = bench.do(Finetune(epochs=1), pruned)
    for model in (pruned, tuned):
        for name, gone in zeros(model).items():
            if name != "stem.0":
                per_four = gone.movedim(1, -1).reshape(-1, 4).sum(1)
                assert bool((per_four == 2).all())
    before = torch_artifact.build(trained).fc.weight.detach().abs().reshape(-1, 4)
    gone = zeros(pruned)["fc"].reshape(-1, 4)
    assert bool((before.masked_fill(gone, 9).amin(1) >= before.masked_fill(~gone, 0).amax(1)).all())


def test_weights_with_masks_can_be_averaged(bench: Workbench, trained: Artifact) -> None:
    masked, _ = bench.do(PruneWeights(amount=0.5), trained)
    for what in (Finetune(epochs=2, ema=0.9, validation_share=0.2, patience=2), Finetune(minutes=0.02, ema=0.9)):
        averaged, _ = bench.do(what, masked)
        assert all(torch.equal(gone, zeros(masked)[name]) for name, gone in zeros(averaged).items())
        assert averaged.digest != masked.digest
    recovered, _ = bench.do(PruneWeights(amount=0.5, steps=2, recover={"epochs": 1, "ema": 0.9}), trained)
    share = torch.cat([gone.flatten() for gone in zeros(recovered).values()]).float().mean()
    assert float(share) == pytest.approx(0.5, abs=0.001)


def test_gradual_pruning_reaches_its_amount_and_keeps_more_than_one_cut(bench: Workbench, trained: Artifact) -> None:
    once, _ = bench.do(PruneWeights(amount=0.9), trained)
    gradual, job = bench.do(PruneWeights(amount=0.9, steps=3, recover={"epochs": 2}), trained)
    assert job.facts["zero_share"] == pytest.approx(0.9, abs=0.001)
    share = torch.cat([gone.flatten() for gone in zeros(gradual).values()]).float().mean()
    assert float(share) == pytest.approx(0.9, abs=0.001)
    assert bench.accuracy(bench.torch_logits(gradual)) > bench.accuracy(bench.torch_logits(once))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "set either amount"),
        ({"amount": 0.5, "pattern": (2, 4)}, "set either amount"),
        ({"pattern": (4, 4)}, "0 < N < M"),
        ({"pattern": (2, 4), "steps": 2}, "cut at once"),
    ],
)
def test_contradictory_settings_are_refused(more, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PruneWeights(**more)


def test_each_recovery_says_what_its_minutes_became(bench: Workbench, trained: Artifact) -> None:
    for what in (
        PruneChannels(ratio=0.3, steps=2, recover={"minutes": 0.02}),
        PruneWeights(amount=0.5, steps=2, recover={"minutes": 0.02}),
    ):
        _, job = bench.do(what, trained)
        done = job.facts["recoveries"]
        assert [one["epochs"] >= 1 for one in done] == [True, True]
        said = [note for note in job.facts["notes"] if note.startswith("recovery ")]
        assert [note.split(":")[0] for note in said] == ["recovery 1", "recovery 2"]
        assert all("0.02 minutes made" in note for note in said)
