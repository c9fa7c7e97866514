"""What no step can be trained with is refused before the first step is computed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edgepipe.__main__ import main
from edgepipe.contract import Pass
from edgepipe.passes.distill import Distill
from edgepipe.passes.prune_channels import PruneChannels
from edgepipe.passes.prune_weights import PruneWeights
from edgepipe.passes.quantize_aware import QuantizeAware
from edgepipe.training.recovery import Recovery

_RECIPE = """\
# @package _global_
defaults:
  - /model: resnet18
  - /data: npz
  - /target: host
  - _self_
description: learns late
passes:
  prune: {pass: prune_channels, ratio: 0.3}
  tune: {pass: distill, epochs: 1}
"""


@pytest.mark.parametrize(
    ("labels", "more", "said"),
    [
        (
            None,
            [],
            r"passes.tune: it trains, but data.train=.*t.npz has no `labels`, and training needs them: add them",
        ),
        (
            "float32",
            [],
            r"passes.tune: distill learns with these settings from scores of one class .* task 'regression' has none",
        ),
        (
            "int64",
            ["task=embedding"],
            r"passes.tune: it trains, and the task 'embedding' does not: remove the step",
        ),
        ("none at all", [], "passes.tune: it trains, but data.train is not set"),
    ],
)
def test_training_without_labels_is_refused_before_anything_is_computed(
    tmp_path: Path, labels: str | None, more: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "late.yaml").write_text(_RECIPE)
    inputs = np.random.default_rng(0).standard_normal((24, 3, 32, 32)).astype(np.float32)
    content = {} if labels in (None, "none at all") else {"labels": np.arange(12).astype(labels) % 3}
    np.savez(tmp_path / "t.npz", inputs=inputs[:12], **content)
    np.savez(tmp_path / "e.npz", inputs=inputs[12:], **content)
    train = [] if labels == "none at all" else [f"data.train={tmp_path}/t.npz"]
    argv = [f"recipe={tmp_path}/late.yaml", f"data.evaluation={tmp_path}/e.npz", f"store.root={tmp_path}/store"]
    for command in (["plan"], [f"hydra.run.dir={tmp_path}/run"]):
        assert main([*command, *argv, *train, *more]) == 2
        assert re.search(said, " ".join(capfd.readouterr().err.split()))
    assert not list((tmp_path / "store").rglob("weights.safetensors"))


@pytest.mark.parametrize(
    ("settings", "learns"),
    [
        (Distill(), True),
        (QuantizeAware(), True),
        (PruneChannels(ratio=0.5), False),
        (PruneChannels(ratio=0.5, importance="taylor"), True),
        (PruneChannels(ratio=0.5, recover=Recovery()), True),
        (PruneChannels(ratio=0.5, refit_examples=10), False),
        (PruneWeights(amount=0.5), False),
        (PruneWeights(amount=0.5, recover=Recovery()), True),
    ],
)
def test_which_steps_need_labels(settings: Pass, learns: bool) -> None:
    assert settings.learns() is learns
