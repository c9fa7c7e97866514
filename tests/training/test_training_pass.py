"""What every pass that trains has in common: torch in and out, labels, and an input that stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgepipe.contract import Split
from edgepipe.contract.artifact import Kind, open_artifact
from edgepipe.passes.train import Train
from edgepipe.training import training
from tests.passes.workbench import Workbench


def test_it_needs_the_train_split_with_labels() -> None:
    settings = Train(epochs=1, lr=0.1)
    assert (settings.reads, settings.writes) == (Kind.TORCH, Kind.TORCH)
    assert settings.splits() == (Split.TRAIN,)
    assert settings.learns()


def test_the_trained_network_is_written_and_the_given_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(network: torch.nn.Module, *_: Any) -> None:
        with torch.no_grad():
            next(network.parameters()).add_(1)

    monkeypatch.setattr(training, "train", train)
    bench = Workbench(tmp_path, small=True)
    before = bench.weight(bench.loaded)
    made, job = bench.do(Train(epochs=1, lr=0.1), bench.loaded)
    assert made.path == job.out
    assert torch.equal(bench.weight(made), before + 1)
    assert torch.equal(bench.weight(open_artifact(bench.loaded.path)), before)
