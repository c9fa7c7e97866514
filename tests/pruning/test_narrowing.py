"""What narrowing costs, against what really happens to the answers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgepipe.pruning.narrowing import Reader, costs


def whole(layer: str, channels: int) -> Reader:
    return Reader(layer, range(channels), range(channels))


def cost(network: nn.Module, readers: list[Reader], scores: Tensor, x: Tensor, *, fitted: bool) -> list[float] | None:
    return costs(network, [(readers, scores)], x.split(50), fitted=fitted, seed=0, progress=lambda _s, _t: None)[0]


def moved(kept: Tensor, everything: Tensor, weights: Tensor, *, fitted: bool) -> float:
    """Mean squared change of `everything @ weights` when the channels that are not kept are gone."""
    wanted = everything @ weights.T
    if not fitted:
        gone = [c for c in range(everything.shape[1]) if c not in kept.tolist()]
        return float((everything[:, gone] @ weights[:, gone].T).square().sum(1).mean())
    inputs = torch.cat([everything[:, kept], torch.ones(len(everything), 1)], 1)
    solved = torch.linalg.lstsq(inputs, wanted).solution
    return float((inputs @ solved - wanted).square().sum(1).mean())


@pytest.mark.parametrize("fitted", [True, False])
def test_the_cost_is_how_far_the_answers_move(fitted: bool) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5))
    x = torch.randn(4000, 6)
    scores = torch.tensor([3.0, 1, 8, 6, 2, 7, 5, 4])
    found = cost(network, [whole("2", 8)], scores, x, fitted=fitted)
    assert found is not None
    assert len(found) == 9
    assert found[0] == 0
    with torch.no_grad():
        hidden = network[1](network[0](x))
    for gone in (1, 3, 6, 8):
        kept = torch.sort(scores, descending=True).indices[: 8 - gone]
        really = moved(kept, hidden, network[2].weight.detach(), fitted=fitted)
        assert found[gone] == pytest.approx(really, rel=0.05)


def test_what_others_say_too_costs_nothing_once_layers_are_fitted() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1), nn.Flatten(), nn.Linear(32, 3)
    )
    first = network[0]
    with torch.no_grad():
        first.weight[3] = 2 * first.weight[1]
        first.bias[3] = 2 * first.bias[1] + 1
    x = torch.randn(200, 3, 4, 4)
    scores = torch.tensor([4.0, 3.0, 2.0, 1.0])  # the double goes first
    fitted = cost(network, [whole("1", 4)], scores, x, fitted=True)
    plain = cost(network, [whole("1", 4)], scores, x, fitted=False)
    assert fitted is not None
    assert plain is not None
    assert fitted[1] < 0.01 * fitted[2]
    assert plain[1] > 0.1 * plain[2]
    assert all(a <= b for a, b in zip(fitted, plain, strict=True))
    assert fitted == sorted(fitted)


def test_fewer_examples_than_channels_do_not_make_channels_seem_to_say_each_other() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Identity(), nn.Linear(80, 5))
    x = torch.randn(50, 80)  # independent, but by least squares 49 of them say the other 31 on these rows exactly
    found = cost(network, [whole("1", 80)], torch.arange(80.0), x, fitted=True)
    assert found is not None
    for gone in (20, 40, 80):
        really = float(network[1].weight.detach()[:, :gone].square().sum())
        assert 0.4 * really < found[gone] < 1.3 * really


def test_a_layer_behind_a_flattened_map_reads_every_place_of_a_channel() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(16, 5))
    x = torch.randn(2000, 3, 2, 2)
    reader = Reader("2", range(16), [c for c in range(4) for _ in range(4)])
    found = cost(network, [reader], torch.tensor([4.0, 3, 2, 1]), x, fitted=False)
    assert found is not None
    with torch.no_grad():
        lost = network[0](x)[:, 3].flatten(1) @ network[2].weight[:, 12:].T
    # Places are taken as independent; here they are, about their mean.
    assert found[1] == pytest.approx(float(lost.square().sum(1).mean()), rel=0.5)


def test_readers_add_up_and_networks_stay_as_they_are() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.make, self.one, self.two = nn.Linear(4, 6), nn.Linear(6, 3), nn.Linear(6, 3)
            self.never = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.make(x).relu()
            return self.one(x) + self.two(x)

    torch.manual_seed(0)
    network, x, scores = Two(), torch.randn(500, 4), torch.rand(6)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    one, two, both = (
        cost(network, [whole(name, 6) for name in names], scores, x, fitted=True)
        for names in (["one"], ["two"], ["one", "two"])
    )
    assert one
    assert two
    assert both == pytest.approx([a + b for a, b in zip(one, two, strict=True)])
    assert cost(network, [whole("never", 6)], scores, x, fitted=True) is None
    doubled = cost(network, [whole("one", 6), whole("never", 6)], scores, x, fitted=True)
    assert doubled == pytest.approx([2 * value for value in one])
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
