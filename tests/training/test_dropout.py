"""Training without dropout: nothing is random any more, and afterwards all is as before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from edgepipe.contract.artifact import Artifact
from edgepipe.passes.distill import Distill
from edgepipe.passes.train import Train
from edgepipe.torch import artifact as torch_artifact
from edgepipe.torch.factory import trust
from edgepipe.training.dropout import nothing_dropped
from tests.passes.workbench import Workbench

NETWORKS = {
    "efficientnet": (lambda: torchvision.models.efficientnet_b0(num_classes=5), (4, 3, 32, 32)),
    "swin": (lambda: torchvision.models.SwinTransformer([4, 4], 8, [2], [2], [4, 4], 0.3, 0.3, 0.3), (4, 3, 32, 32)),
    "densenet": (lambda: torchvision.models.DenseNet(8, (2,), 8, drop_rate=0.5), (4, 3, 32, 32)),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5), (4, 6, 8)),
    "recurrent": (lambda: nn.GRU(8, 8, num_layers=2, dropout=0.5), (4, 6, 8)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_no_network_draws_anything_and_each_does_again_afterwards(name: str) -> None:
    make, shape = NETWORKS[name]
    network = make().train()
    inputs = torch.randn(shape)

    def answers() -> torch.Tensor:
        found = network(inputs)
        return found[0] if isinstance(found, tuple) else found

    with nothing_dropped(network):
        assert torch.equal(answers(), answers())
    assert not torch.equal(answers(), answers())


def test_what_is_dropped_comes_back_after_a_failure() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.25))
    with pytest.raises(KeyError), nothing_dropped(network):
        raise KeyError
    assert network[1].p == 0.25


def dropping_network(share: float) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 16), nn.ReLU(), nn.Dropout(share), nn.Linear(16, 10))


def test_distilling_drops_nothing_and_training_does(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, small=True)

    def loaded(share: float) -> Artifact:
        out = tmp_path / f"loaded{share}"
        out.mkdir()
        torch.manual_seed(0)
        base = {"source": "python", "factory": f"{__name__}:dropping_network", "kwargs": {"share": share}}
        trust(f"{__name__}:dropping_network", {"share": share})
        architecture = torch_artifact.new_architecture(base)
        return torch_artifact.write(dropping_network(share), architecture, out, bench.data.signature)

    dropping, keeping = loaded(0.5), loaded(0.0)

    def same(step: Train | Distill) -> bool:
        one, other = (bench.do(step, model, teacher=keeping)[0] for model in (dropping, keeping))
        return torch.equal(bench.weight(one), bench.weight(other))

    assert same(Distill(epochs=1))
    assert not same(Distill(epochs=1, dropout=True))
    assert not same(Train(epochs=1))
