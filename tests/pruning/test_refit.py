"""Layers fitted to what they answered before channels were removed."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import nn

from edgepipe.contract import Split
from edgepipe.contract.artifact import Artifact
from edgepipe.passes.prune_channels import PruneChannels
from edgepipe.passes.prune_weights import PruneWeights
from edgepipe.passes.reestimate_batchnorm import ReestimateBatchNorm
from edgepipe.passes.train import Train
from edgepipe.pruning import refit as refitting
from edgepipe.pruning.refit import Window, refit
from tests.passes.workbench import Workbench


def silent(_share: float, _text: str) -> None:
    pass


class Branched(nn.Module):
    """A residual sum, a concatenation, a convolution without a batch norm behind, a layer used twice, a flattening."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.left = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.right = nn.Conv2d(8, 8, 1, stride=2, bias=False)
        self.twice = nn.Conv2d(16, 16, 1)
        self.head = nn.Linear(16 * 16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.cat((self.left(x), self.right(x)), 1)
        x = x + self.twice(torch.relu(self.twice(x)))
        return self.head(torch.flatten(x, 1))


def narrowed(network: Branched, gone: list[int]) -> tuple[Branched, list[int]]:
    """Without some of the stem's channels."""
    left = [channel for channel in range(8) if channel not in gone]
    small = copy.deepcopy(network)
    conv, norm = small.stem[0], small.stem[1]
    conv.weight.data = conv.weight.data[left]
    for name in ("weight", "bias"):
        getattr(norm, name).data = getattr(norm, name).data[left]
    for name in ("running_mean", "running_var"):
        setattr(norm, name, getattr(norm, name)[left].clone())
    for layer in (small.left, small.right):
        layer.weight.data = layer.weight.data[:, left]
    return small, left


def test_what_the_channels_left_can_express_is_restored_and_the_rest_comes_nearer() -> None:
    torch.manual_seed(0)
    network = Branched().eval()
    # Two channels say what others say, scaled: a batch norm of one and the same input.
    with torch.no_grad():
        network.stem[0].weight[6] = 2 * network.stem[0].weight[0]
        network.stem[0].weight[7] = 3 * network.stem[0].weight[1]
    pictures = torch.randn((64, 3, 8, 8))
    batches = list(pictures.split(16))
    small, left = narrowed(network, [6, 7])
    twice = small.twice.weight.detach().clone()
    with torch.no_grad():
        before = (small(pictures) - network(pictures)).abs().max()
        missed = refit(small, network, {"stem.0": left}, lambda: batches, seed=0, progress=silent)
        after = (small(pictures) - network(pictures)).abs().max()
    assert list(missed) == ["left", "right", "head"]
    assert torch.equal(small.twice.weight, twice), "a layer that runs twice has two outputs to please"
    assert max(missed.values()) < 0.02
    assert after < 0.25 * before


def test_layers_named_and_those_before_the_cut_keep_their_weights() -> None:
    torch.manual_seed(0)
    network = Branched().eval()
    small, left = narrowed(network, [2])
    stem, head = small.stem[0].weight.detach().clone(), small.head.weight.detach().clone()
    batches = [torch.randn((16, 3, 8, 8))]
    missed = refit(small, network, {"stem.0": left}, lambda: batches, skip=["head"], seed=0, progress=silent)
    assert list(missed) == ["left", "right"]
    assert torch.equal(small.stem[0].weight, stem) and torch.equal(small.head.weight, head)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("bench"), small=True)


@pytest.fixture(scope="module")
def trained(bench: Workbench) -> Artifact:
    return bench.do(Train(epochs=6, lr=0.05), bench.loaded)[0]


def test_fitting_wins_back_more_than_batch_norm_statistics_do(bench: Workbench, trained: Artifact) -> None:
    chosen = {"ratio": 0.5, "round_to": 4}
    bare, _ = bench.do(PruneChannels(**chosen), trained)
    statistics, _ = bench.do(ReestimateBatchNorm(), bare)
    fitted, job = bench.do(PruneChannels(**chosen, refit_examples=200), trained)
    scores = [bench.accuracy(bench.torch_logits(model)) for model in (bare, statistics, fitted, trained)]
    assert scores[2] > max(scores[0], scores[1]), scores
    assert job.facts["refit_examples"] == 200
    assert all(0 <= share < 1 for share in job.facts["refit_unexplained_variance"].values())
    assert bench.do(PruneChannels(**chosen, refit_examples=200), trained)[0].digest == fitted.digest


def test_it_reads_train_examples_without_their_labels() -> None:
    assert PruneChannels(ratio=0.5, refit_examples=10).splits() == (Split.TRAIN,)
    assert PruneChannels(ratio=0.5).splits() == ()


def test_masked_weights_stay_zero(bench: Workbench, trained: Artifact) -> None:
    masked, _ = bench.do(PruneWeights(amount=0.6), trained)
    bare, _ = bench.do(PruneChannels(ratio=0.5, round_to=4), masked)
    fitted, _ = bench.do(PruneChannels(ratio=0.5, round_to=4, refit_examples=50), masked)
    zeros = bench.weight(bare) == 0
    assert zeros.any() and torch.equal(bench.weight(fitted) == 0, zeros)


@pytest.mark.parametrize("examples", [1, 2])
def test_one_example_does_not_spoil_a_layer_that_sees_one_place(examples: int) -> None:
    torch.manual_seed(0)
    parent = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Flatten()).eval()
    parent.append(nn.Linear(8, 5)).eval()
    small = copy.deepcopy(parent)
    left = [0, 1, 2, 4, 6, 7]
    small[0].weight.data, small[0].bias.data = small[0].weight.data[left], small[0].bias.data[left]
    small[2].weight.data = small[2].weight.data[:, left]
    batch = torch.randn(examples, 3, 8, 8) + 50
    refit(small, parent, {"0": left}, lambda: [batch], seed=0, progress=silent)
    others = torch.randn(64, 3, 8, 8) + 50
    with torch.no_grad():
        wanted, got = parent(others), small(others)
    assert float((got - wanted).norm() / wanted.norm()) < 0.5


def test_each_group_of_a_convolution_is_fitted_by_itself() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 4, 3, groups=2, bias=False)
    ).eval()
    other = copy.deepcopy(network)
    # What goes in is scaled and moved, which other weights undo, but for what lies beyond the border.
    other[0].weight.data *= torch.linspace(0.25, 4, 8)[:, None, None, None]
    other[0].bias.data *= torch.linspace(0.25, 4, 8)
    batches = [torch.randn((16, 3, 8, 8)) for _ in range(4)]
    missed = refit(other, network, {}, lambda: batches, skip=["0"], seed=0, progress=silent)
    assert list(missed) == ["1", "2"]
    assert max(missed.values()) < 0.03
    with torch.no_grad():
        wanted, got = network(batches[0]), other(batches[0])
    assert float((got - wanted).norm() / wanted.norm()) < 0.2


class Between(nn.Module):
    """Adds something between its blocks, which begin with a ReLU in place, and has a block that only holds a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)),
            nn.Sequential(nn.Identity(), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3)),
        )
        self.tail = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 1))
        self.store = nn.Sequential(nn.ModuleList([nn.Conv2d(2, 2, 1)]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x) + 1
        return self.store[0][0](self.tail(x))


class Shared(nn.Module):
    """One ReLU in several places, a skip that a block reads from itself, and blocks whose parts the network calls."""

    def __init__(self) -> None:
        super().__init__()
        relu = nn.ReLU()
        self.a = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), relu, nn.Conv2d(4, 4, 1), relu)
        self.b = nn.Sequential(nn.Conv2d(4, 4, 1), relu, nn.Conv2d(4, 4, 1), _Skipping(), _Skipping(), _Skipping())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x)
        for block in self.b:
            if isinstance(block, _Skipping):
                block.skip = x
        x = self.b[:-1](x)
        return x + self.b[-1].second(self.b[-1].first(x))


class _Skipping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.skip = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), torch.zeros(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x) + self.skip)


@pytest.mark.parametrize(
    "name", ["between", "branched", "shared", "resnet18", "efficientnet_b0", "densenet121", "swin_t"]
)
def test_running_on_from_a_block_catches_what_running_it_all_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    own = {"between": Between, "branched": Branched, "shared": Shared}
    network = (own[name]() if name in own else getattr(torchvision.models, name)(num_classes=3)).eval()
    side = 8 if name == "branched" else 32
    batches = [torch.randn(2, 3, side, side), torch.randn(2, 3, side, side)]
    layers, runs = dict(network.named_modules()), []
    hooks = [
        module.register_forward_hook(lambda *_, key=key: runs.append(key))
        for key, module in layers.items()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    network(batches[0])
    for hook in hooks:
        hook.remove()
    once = [key for key in runs if runs.count(key) == 1]
    forwards = []
    network.register_forward_pre_hook(lambda *_: forwards.append(1))
    window = Window(network)
    for step, key in enumerate(once[:: 1 if len(once) < 30 else 7]):
        if step == 3:
            monkeypatch.setattr(refitting, "_KEPT_BYTES", 0)  # too large to keep
        if step == 5:
            monkeypatch.undo()
        for number, batch in enumerate(batches):
            caught = window.caught(key, number, batch)
            seen: list[torch.Tensor] = []
            with layers[key].register_forward_hook(
                lambda _m, given, out, seen=seen: seen.extend((given[0].clone(), out.clone()))
            ):
                before = len(forwards)
                network(batch)
                del forwards[before:]
            for got, wanted in zip(caught, seen, strict=True):
                assert torch.equal(got, wanted), key
        layers[key].weight.data *= 1.01  # as if it had been fitted
    if name == "efficientnet_b0":
        assert len(forwards) < 2 * len(once[::7]) + 10
