"""Passes on torch networks: what they change, when they change nothing, what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgepipe.contract import Signature, Split
from edgepipe.errors import PassError
from edgepipe.passes.finetune import Finetune
from edgepipe.passes.prune_channels import PruneChannels
from edgepipe.passes.prune_weights import PruneWeights
from edgepipe.passes.reestimate_batchnorm import ReestimateBatchNorm
from edgepipe.passes.train import Train
from edgepipe.pruning import channels
from edgepipe.pruning.cutting import Wanted
from edgepipe.torch import artifact as torch_artifact
from tests.passes.workbench import Workbench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def trained(bench: Workbench):
    """A ResNet-18 of a few steps: what is pruned below need not know digits."""
    return bench.do(Train(epochs=1, epoch_share=0.25, lr=0.05), bench.loaded)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("small"), small=True)


@pytest.fixture(scope="module")
def learned(small: Workbench):
    return small.do(Train(epochs=2, lr=0.1), small.loaded)


def test_training_learns_and_records_its_curve(small: Workbench, learned) -> None:
    model, job = learned
    assert small.accuracy(small.torch_logits(model)) > 0.7 > small.accuracy(small.torch_logits(small.loaded))
    assert [point["epoch"] for point in job.facts["curve"]] == [1, 2]


def test_training_interrupted_after_an_epoch_ends_at_the_same_weights(small: Workbench, learned) -> None:
    class Killed(Exception):
        pass

    def kill_in_the_second_epoch(share: float, _text: str) -> None:
        if share > 0.75:
            raise Killed

    job = small.job(progress=kill_in_the_second_epoch)
    with pytest.raises(Killed):
        Train(epochs=2, lr=0.1).apply(small.loaded, job)
    told: list[float] = []
    again = small.job(state=job.state, progress=lambda share, _text: told.append(share))
    resumed = Train(epochs=2, lr=0.1).apply(small.loaded, again)
    assert min(told) >= 0.5  # it did not begin anew
    assert resumed.digest == learned[0].digest


def test_a_diverging_training_is_an_error(bench: Workbench) -> None:
    with pytest.raises(PassError, match=r"(?s)loss.*lr"):
        bench.do(Train(epochs=1, precision="float32").model_copy(update={"lr": 1e6}), bench.loaded)


def masked(model) -> torch.nn.Module:
    """The network as it computes: masks are applied when it runs."""
    network = torch_artifact.build(model).eval()
    network(torch.zeros(1, 3, 32, 32))
    return network


def zero_share(model) -> float:
    weights = [m.weight for m in masked(model).modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)


def test_pruned_weights_are_the_smallest_and_stay_zero_through_finetuning(bench: Workbench, trained) -> None:
    pruned, job = bench.do(PruneWeights(amount=0.5), trained[0])
    assert zero_share(pruned) == pytest.approx(0.5, abs=0.001)
    assert job.facts["zero_share"] == pytest.approx(0.5, abs=0.001)
    before, after = (masked(model).layer1[0].conv1.weight for model in (trained[0], pruned))
    gone, kept = before[after == 0].abs(), before[after != 0].abs()
    assert gone.max() <= kept.min()
    tuned, _ = bench.do(Finetune(epochs=1, epoch_share=0.2, lr=0.01), pruned)
    assert zero_share(tuned) == pytest.approx(0.5, abs=0.001)
    assert not np.allclose(bench.torch_logits(tuned), bench.torch_logits(pruned))


def test_pruning_per_layer_takes_the_same_share_of_each(bench: Workbench, trained) -> None:
    pruned, _ = bench.do(PruneWeights(amount=0.3, scope="layer", exclude=("fc",)), trained[0])
    network = masked(pruned)
    assert float((network.layer4[1].conv2.weight == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float((network.layer1[0].conv1.weight == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float((network.fc.weight == 0).float().mean()) == 0


@pytest.mark.parametrize("what", [PruneWeights(amount=0.0), PruneChannels(ratio=0.0)])
def test_nothing_to_prune_changes_no_answer(bench: Workbench, trained, what) -> None:
    same, _ = bench.do(what, trained[0])
    assert np.array_equal(bench.torch_logits(same), bench.torch_logits(trained[0]))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (PruneWeights(amount=0.5, exclude=("fcc",)), r"passes\.it\.exclude: .* no layer 'fcc'\. Did you mean 'fc'\?"),
        (
            PruneChannels(ratio=0.5, exclude=("layer9",)),
            r"passes\.it\.exclude: .* no module 'layer9'\. Did you mean 'layer",
        ),
    ],
)
def test_an_unknown_layer_is_refused(bench: Workbench, trained, what, said: str) -> None:
    with pytest.raises(PassError, match=said):
        bench.do(what, trained[0])


@pytest.mark.parametrize(
    ("ratio", "round_to", "widths"),
    [
        (0.3, 16, [48, 96, 176, 352]),
        (0.3, 1, [45, 90, 179, 358]),
        (0.9, 64, [64, 64, 64, 64]),
        (0.5, 16, [32, 64, 128, 256]),
    ],
)
def test_channels_are_rounded_to_nearest_and_never_to_nothing(
    bench: Workbench, trained, ratio: float, round_to: int, widths: list[int]
) -> None:
    pruned, job = bench.do(PruneChannels(ratio=ratio, round_to=round_to), trained[0])
    network = torch_artifact.build(pruned)
    assert [
        layer[0].conv1.out_channels for layer in (network.layer1, network.layer2, network.layer3, network.layer4)
    ] == (pytest.approx(widths, abs=1))
    assert network.fc.out_features == 10
    assert bench.torch_logits(pruned).shape == (32, 10)
    assert job.facts


def test_the_achieved_ratio_is_reported_where_rounding_changed_it(bench: Workbench, trained) -> None:
    pruned, job = bench.do(PruneChannels(ratio=0.3, round_to=64), trained[0])
    assert job.facts["removed_channel_share"] == pytest.approx(0.27, abs=0.05)
    share = f"{job.facts['removed_channel_share']:.0%}"
    assert job.facts["notes"][0].startswith(f"{share} of the channels removed (30% asked for); ")
    files = [pruned.path / name for name in ("weights.safetensors", "architecture.json")]
    assert len({file.stat().st_mode for file in files}) == 1  # whoever may read one may read the other


@pytest.mark.parametrize("more", [{"importance": "l1"}, {"scope": "global"}, {"exclude": ("layer1.0.conv1",)}])
def test_the_choices_of_channel_pruning_choose(bench: Workbench, trained, more) -> None:
    plain = torch_artifact.build(bench.do(PruneChannels(ratio=0.4), trained[0])[0])
    other = torch_artifact.build(bench.do(PruneChannels(ratio=0.4, **more), trained[0])[0])
    shapes = [{name: tuple(p.shape) for name, p in network.named_parameters()} for network in (plain, other)]
    values = [network.layer1[0].conv1.weight for network in (plain, other)]
    assert shapes[0] != shapes[1] or not torch.equal(*values)
    if "exclude" in more:
        assert other.layer1[0].conv1.out_channels == 64


def test_prune_finetune_prune_reload_gives_equal_logits(bench: Workbench, trained) -> None:
    once, _ = bench.do(PruneChannels(ratio=0.3), trained[0])
    masked, _ = bench.do(PruneWeights(amount=0.2), once)
    tuned, _ = bench.do(Finetune(epochs=1, epoch_share=0.2, lr=0.01), masked)
    twice, _ = bench.do(PruneChannels(ratio=0.3), tuned)
    network = torch_artifact.build(twice)
    assert network.layer4[0].conv1.out_channels < 352
    assert np.array_equal(bench.torch_logits(twice), bench.torch_logits(twice))
    onnx = bench.onnx_logits(bench.lowered(twice))
    assert np.abs(onnx - bench.torch_logits(twice)).max() <= 1e-3 * np.abs(onnx).max()
    assert [path.suffix for path in sorted(twice.path.iterdir())].count(".safetensors") == 1


def test_batch_norm_statistics_are_computed_anew(bench: Workbench, trained) -> None:
    pruned, _ = bench.do(PruneChannels(ratio=0.3), trained[0])
    healed, job = bench.do(ReestimateBatchNorm(examples=256), pruned)
    assert job.facts["examples"] == 256
    old, new = (torch_artifact.build(model) for model in (pruned, healed))
    assert torch.equal(old.conv1.weight, new.conv1.weight)
    assert not torch.allclose(old.layer4[1].bn2.running_mean, new.layer4[1].bn2.running_mean)
    assert bench.accuracy(bench.torch_logits(healed)) > bench.accuracy(bench.torch_logits(pruned))


def test_batch_norm_statistics_weigh_every_example_alike(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, small=True)
    healed, job = bench.do(ReestimateBatchNorm(examples=66, batch_size=64), bench.loaded)
    network = torch_artifact.build(healed)
    generator = torch.Generator().manual_seed(job.seed)
    order = torch.randperm(job.data.count(Split.TRAIN), generator=generator)[:66].tolist()
    inputs = np.concatenate([batch.only for batch in job.data.batches(Split.TRAIN, 66, order)])
    with torch.no_grad():
        seen = network.stem[0](torch.from_numpy(inputs))
    assert torch.allclose(network.stem[1].running_mean, seen.mean((0, 2, 3)), atol=1e-5)


def test_a_network_without_batch_norm_is_refused(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, "squeezenet1_1")
    with pytest.raises(PassError, match=r"no batch norm\. Remove this step"):
        bench.do(ReestimateBatchNorm(), bench.loaded)


def test_a_vision_transformer_is_pruned_twice_and_keeps_its_heads() -> None:
    import torchvision

    torch.manual_seed(0)
    network = torchvision.models.VisionTransformer(
        image_size=16, patch_size=8, num_layers=2, num_heads=6, hidden_dim=96, mlp_dim=128, num_classes=10
    )
    example = torch.zeros(2, 3, 16, 16)
    for _ in range(2):
        achieved = channels.remove(
            network,
            (3, 16, 16),
            Wanted(ratio=0.3, importance=channels.magnitude(2), round_to=4),
            label="prune",
            progress=lambda _share, _text: None,
        )
        assert 0.2 < achieved["removed_channel_share"] < 0.4
    assert network.hidden_dim % 12 == 0  # heads and round_to
    assert network.hidden_dim == network.conv_proj.out_channels < 96
    with torch.no_grad():
        assert network(example).shape == (2, 10)


def test_masks_of_weights_that_no_forward_recomputes_load_as_written(tmp_path: Path) -> None:
    from torch.nn.utils import prune

    network = torch_artifact.build_base({"source": "torchvision", "name": "mnasnet0_5", "num_classes": 10})
    prune.l1_unstructured(network.classifier[1], "weight", amount=0.5)
    architecture = torch_artifact.new_architecture({"source": "torchvision", "name": "mnasnet0_5", "num_classes": 10})
    architecture["edits"].append({"op": "mask", "modules": ["classifier.1"]})
    artifact = torch_artifact.write(network, architecture, tmp_path, Signature(input_shape=(3, 32, 32)))
    again = torch_artifact.build(artifact)
    assert torch.equal(again.classifier[1].weight, network.classifier[1].weight)
