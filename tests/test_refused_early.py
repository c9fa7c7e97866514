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


_TWO = """\
# @package _global_
defaults:
  - /model: MODEL
  - /data: npz
  - /target: host
  - _self_
description: takes two
passes: PASSES
"""


@pytest.mark.parametrize(
    ("model", "passes", "said"),
    [
        ("resnet18", "{prune: {pass: prune_channels, ratio: 0.3}}", "model.source: it takes networks with one input"),
        ("resnet18", "{prune: {pass: prune_channels, ratio: 0.3}}", "passes.prune.pass: it takes networks with one"),
        (
            "onnx",
            "{aware: {pass: quantize_aware}}",
            "passes.aware.pass: it takes networks with one input, and the data",
        ),
        ("onnx", "{out: {pass: export, batch: 1}}", "passes.out.batch: it takes networks with one input"),
        ("keras", "{out: {pass: export}}", "model.source: it takes networks with one input"),
    ],
)
def test_what_takes_one_input_is_refused_with_data_of_two_by_plan_and_run(
    model: str, passes: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "two.yaml").write_text(_TWO.replace("MODEL", model).replace("PASSES", passes))
    np.savez(tmp_path / "e.npz", ids=np.zeros((4, 3, 32, 32), np.float32), mask=np.ones((4, 2), np.float32))
    path = [] if model == "resnet18" else [f"model.path={tmp_path}/m.file"]
    argv = [f"recipe={tmp_path}/two.yaml", *path, f"data.evaluation={tmp_path}/e.npz", f"store.root={tmp_path}/store"]
    assert main(["plan", *argv]) == 2
    told = " ".join(capfd.readouterr().err.split())
    assert said in told
    assert "the data gives 2 ('ids', 'mask')" in told
    if model == "resnet18":
        assert main([*argv, f"hydra.run.dir={tmp_path}/run"]) == 2
        assert said in " ".join(capfd.readouterr().err.split())
