"""What is cut must answer as the uncut network whose removed channels nobody hears."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

from edgepipe.errors import PassError
from edgepipe.pruning import channels, silenced
from edgepipe.pruning.cutting import Wanted


class EverySecond:
    """Ranks the odd channels last."""

    def __call__(self, group: Any) -> Tensor:
        return torch.tensor([1.0 - place % 2 for place in range(len(group[0].idxs))])


def cut(network: nn.Module, shape: tuple[int, ...] = (3, 8, 8), **more: Any) -> dict[str, Any]:
    wanted = Wanted(**({"ratio": 0.5, "importance": EverySecond()} | more))
    return channels.remove(network, shape, wanted, label="prune", progress=lambda _share, _text: None)


class Flattened(nn.Module):
    """Two convolutions whose channels a matrix product reads, joined and ordered in some way."""

    def __init__(self, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 3, padding=1, stride=2)
        self.join = join
        count = join(torch.zeros(1, 8, 8, 8), torch.zeros(1, 8, 4, 4)).shape[1]
        self.hidden, self.out = nn.Linear(count, 24), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.relu(self.hidden(self.join(F.relu(self.a(x)), F.relu(self.b(x))))))


JOINS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "plain": lambda a, _: a.flatten(1),
    "channels last": lambda a, _: a.permute(0, 2, 3, 1).flatten(1),
    "transposed twice": lambda a, _: a.permute(0, 3, 1, 2).flatten(1),
    "branches": lambda a, b: torch.cat([a.flatten(1), b.flatten(1)], 1),
    "branches last": lambda a, b: torch.cat([b.permute(0, 2, 3, 1).flatten(1), a.permute(0, 2, 3, 1).flatten(1)], 1),
    "pools": lambda a, _: torch.cat([F.adaptive_avg_pool2d(a, size).flatten(1) for size in (1, 2, 4)], 1),
    "pools of both": lambda a, b: torch.cat(
        [F.adaptive_max_pool2d(x, s).flatten(1) for x in (a, b) for s in (1, 3)], 1
    ),
}


@pytest.mark.parametrize("kind", JOINS)
def test_dead_channels_leave_without_a_trace_whatever_the_order_they_are_read_in(kind: str) -> None:
    torch.manual_seed(0)
    network, x = Flattened(JOINS[kind]).eval(), torch.randn(8, 3, 8, 8)
    for layer in (network.a, network.b, network.hidden):
        layer.weight.data[1::2], layer.bias.data[1::2] = 0, 0
    before = network(x).detach()
    facts = cut(network)
    assert (network(x).detach() - before).norm() / before.norm() < 1e-5
    assert network.a.out_channels == 4
    assert network.hidden.in_features == JOINS[kind](torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 4, 4)).shape[1]
    assert "left_uncut" not in facts


class Shift(nn.Module):
    """A convolution with batch norm and an activation that makes something of nothing."""

    def __init__(self, between: nn.Module, inside: int = 8) -> None:
        super().__init__()
        self.first, self.between = nn.Conv2d(3, 8, 3, padding=1), between
        self.second, self.fc = nn.Conv2d(inside, 8, 3, padding=1), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.second(self.between(self.first(x))).mean((2, 3)))


@pytest.mark.parametrize(
    "between", [nn.Sigmoid(), nn.Sequential(nn.BatchNorm2d(8), nn.Hardsigmoid()), nn.GroupNorm(1, 8)]
)
def test_what_a_silent_channel_turns_into_on_its_way_counts_for_nothing(between: nn.Module) -> None:
    torch.manual_seed(0)
    network = Shift(between).eval()
    for parameter in between.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    assert "left_uncut" not in cut(network)
    assert (network.first.out_channels, network.second.in_channels) == (4, 4)


class Shuffle(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


@pytest.mark.parametrize(
    ("between", "inside"),
    [
        (Shuffle(), 8),
        (nn.GroupNorm(4, 8), 8),
        (nn.PixelShuffle(2), 2),
        (nn.PixelUnshuffle(2), 32),
        (nn.ChannelShuffle(4), 8),
    ],
)
def test_what_cannot_be_made_right_stays_and_is_named(between: nn.Module, inside: int) -> None:
    torch.manual_seed(0)
    network, x = Shift(between, inside).eval(), torch.randn(4, 3, 8, 8)
    for layer in (network.first, network.second):
        layer.weight.data[1::2], layer.bias.data[1::2] = 0, 0
    before = network(x).detach()
    facts = cut(network)
    assert network.second.out_channels == 4  # the rest is cut
    if network.first.out_channels == 8:
        assert list(facts["left_uncut"]) == ["first"]
        assert (network(x).detach() - before).norm() / before.norm() < 1e-5


@pytest.mark.parametrize(
    "remake", [weight_norm, spectral_norm, parametrizations.weight_norm, parametrizations.orthogonal]
)
def test_layers_whose_weight_is_computed_anew_stay_and_the_rest_is_cut(remake: Any) -> None:
    network = Shift(nn.ReLU()).eval()
    network.middle = nn.Conv2d(8, 8, 1)
    network.between = nn.Sequential(remake(nn.Conv2d(8, 8, 3, padding=1)), nn.ReLU(), network.middle)
    facts = cut(network)
    assert "'between.0' is computed anew" in facts["left_uncut"]["first"]
    assert network.between[0].weight.shape == (8, 8, 3, 3)
    assert (network.middle.out_channels, network.second.out_channels) == (4, 4)


def test_a_network_of_nothing_else_is_refused_with_the_name_and_the_remedy() -> None:
    network = nn.Sequential(weight_norm(nn.Conv2d(3, 8, 3)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    with pytest.raises(PassError, match=r"(?s)no group of channels .*'0' is computed anew .*remove_weight_norm"):
        cut(network)


def test_a_network_of_convolutions_in_groups_is_refused_by_their_names() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 12, 1), nn.Conv2d(12, 12, 1, groups=3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10)
    ).eval()
    with pytest.raises(PassError, match=r"(?s)no group of channels .*'[01]': a convolution in several groups would"):
        cut(network)


def test_only_the_group_that_a_forward_counts_on_stays() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.qkv, self.back = nn.Linear(8, 32), nn.Linear(32, 96), nn.Linear(32, 32)
            self.hidden, self.out = nn.Linear(32, 64), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = self.embed(x)
            q, k, v = self.qkv(x).reshape(len(x), 6, 3, 4, 8).permute(2, 0, 3, 1, 4)
            told = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(len(x), 6, 32)
            return self.out(F.relu(self.hidden(x + self.back(told))).mean(1))

    torch.manual_seed(0)
    network = Attention().eval()
    facts = cut(network, (6, 8))
    assert list(facts["left_uncut"]) == ["qkv"]
    assert (network.embed.out_features, network.qkv.in_features, network.qkv.out_features) == (16, 16, 96)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_raise_nothing_but_a_refusal(name: str) -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before = nn.Linear(8, 16)
            self.rnn = getattr(nn, name)(16, 16, num_layers=2, batch_first=True)
            self.hidden, self.out = nn.Linear(16, 16), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.hidden(self.rnn(self.before(x))[0][:, -1]))

    network = Recurrent()
    cut(network, (5, 8))
    assert (network.before.out_features, network.hidden.out_features) == (16, 8)


def test_attention_loses_as_many_rows_in_each_head_and_answers_as_with_silent_channels() -> None:
    torch.manual_seed(0)
    network = torchvision.models.VisionTransformer(
        image_size=16, patch_size=8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=48, num_classes=10
    )
    facts = cut(network, (3, 16, 16))
    assert network.hidden_dim == 16
    assert "left_uncut" not in facts


def test_a_shifted_window_transformer_is_cut_in_bounded_time() -> None:
    torch.manual_seed(0)
    network = torchvision.models.SwinTransformer(
        patch_size=[4, 4], embed_dim=16, depths=[1, 1], num_heads=[2, 4], window_size=[2, 2], num_classes=10
    )
    facts = cut(network, (3, 32, 32))
    assert network.features[1][0].mlp[0].out_features == 32
    assert facts["left_uncut"]


def test_a_network_cut_at_the_wrong_columns_is_found_out_by_the_reader() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.AvgPool2d(4), nn.Flatten()).eval()
    before = silenced.Snapshot(network)
    made = silenced.Cut({"0": silenced.Left(None, [0, 1]), "2": silenced.Left([0, 1], None)})
    first, second = network[0], network[2]
    first.weight, first.bias = nn.Parameter(first.weight[:2].detach()), nn.Parameter(first.bias[:2].detach())
    kept = second.weight
    inputs = silenced.inputs_like((3, 8, 8))
    second.weight = nn.Parameter(kept[:, :2].detach())
    assert silenced.difference(network, before, made, inputs) is None
    second.weight = nn.Parameter(kept[:, 2:].detach())
    found = silenced.difference(network, before, made, inputs)
    assert found is not None
    assert found.layer == "2"
    assert kept.shape == (5, 4, 3, 3)
