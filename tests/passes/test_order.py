"""What the plan accepts runs to the end on a toy model, and what it refuses could not have run."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from edgepipe.contract.artifact import Artifact
from edgepipe.errors import PassError
from edgepipe.plugins import NOUNS, find
from edgepipe.recipe.plan import make_plan
from edgepipe.recipe.schema import validate
from edgepipe.torch import artifact as torch_artifact
from edgepipe.torch.factory import trust
from tests.passes.workbench import Workbench

SHORT = {"epochs": 1, "epoch_share": 0.1}
TORCH: dict[str, dict[str, Any]] = {
    "prune_channels": {"pass": "prune_channels", "ratio": 0.3, "round_to": 1},
    "prune_latency": {"pass": "prune_channels", "scope": "latency", "times_faster": 1.2, "importance_examples": 8},
    "prune_weights": {"pass": "prune_weights", "amount": 0.3},
    "swap_operators": {"pass": "swap_operators"},
    "tabulate_latency": {"pass": "tabulate_latency", "round_to": 16},
}
TRAINING: dict[str, dict[str, Any]] = {
    "train": {"pass": "train", **SHORT},
    "finetune": {"pass": "finetune", **SHORT},
    "distill": {"pass": "distill", **SHORT},
    "reestimate_batchnorm": {"pass": "reestimate_batchnorm", "examples": 50},
}
ONNX: dict[str, dict[str, Any]] = {
    "quantize_static": {"pass": "quantize_static", "keep_float": "never"},
    "quantize_measured": {"pass": "quantize_static", "keep_float": "measured"},
    "quantize_dynamic": {"pass": "quantize_dynamic"},
    "quantize_weights": {"pass": "quantize_weights", "smallest": 16, "block_size": 16},
    "store_half": {"pass": "to_float16"},
    "compute_half": {"pass": "to_float16", "mode": "compute"},
    "time_int8": {"pass": "time_int8", "seconds": 0.02},
    "export": {"pass": "export"},
}
AWARE: dict[str, dict[str, Any]] = {"quantize_aware": {"pass": "quantize_aware", **SHORT}}
NETWORK_HAS_NONE_LEFT = {("swap_operators", "swap_operators")}
"""Accepted, and refused when they run: what a network holds is not known before."""
POINTLESS = {("compute_half", "quantize_static")}
"""Refused, though it would run: nothing in such a model can run in int8, and it would stay as it is."""
ELSEWHERE = {"lower", "prune_trees"}
"""The one is inserted, the other needs a forest."""


class Network(torch.nn.Module):
    """Something for every pass: a batch norm, an activation without int8 kernel, a product."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Sequential(
            torch.nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False), torch.nn.BatchNorm2d(32), torch.nn.SiLU()
        )
        self.middle = torch.nn.Sequential(
            torch.nn.Conv2d(32, 48, 3, padding=1, bias=False), torch.nn.BatchNorm2d(48), torch.nn.ReLU()
        )
        self.pool = torch.nn.AdaptiveAvgPool2d(1)
        self.fc = torch.nn.Linear(48, 10)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.middle(self.stem(inputs))).flatten(1))


def network(**_: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    return Network()


class Bench:
    """A loaded toy, and what came of it behind every chain of passes so far."""

    def __init__(self, folder: Path) -> None:
        self.bench = Workbench(folder, small=True)
        base = {"source": "python", "factory": f"{__name__}:network", "kwargs": {}}
        trust(base["factory"], base["kwargs"])
        out = folder / "toy"
        out.mkdir()
        architecture = torch_artifact.new_architecture(base)
        self.torch = torch_artifact.write(network(), architecture, out, self.bench.data.signature)
        self.onnx = self.bench.lowered(self.torch)
        self._known: dict[tuple[str, ...], Artifact] = {}

    def run(self, chain: tuple[str, ...]) -> Artifact:
        if not chain:
            raise AssertionError
        if chain not in self._known:
            table = {**TORCH, **TRAINING, **ONNX, **AWARE}
            name, given = table[chain[-1]]["pass"], {k: v for k, v in table[chain[-1]].items() if k != "pass"}
            start = self.onnx if chain[0] in ONNX or chain[0] in AWARE else self.torch
            model = self.run(chain[:-1]) if len(chain) > 1 else start
            self._known[chain] = self.bench.do(find("passes", name)(**given), model, teacher=self.torch)[0]
        return self._known[chain]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("order"))


def accepted(chain: tuple[str, ...]) -> bool:
    """Whether the plan of a recipe takes the chain."""
    table = {**TORCH, **TRAINING, **ONNX, **AWARE}
    model = {"source": "onnx", "path": "m.onnx"}
    if chain[0] in TORCH or chain[0] in TRAINING:
        model = {"source": "torchvision", "name": "resnet18"}
    passes = {f"step{number}": table[name] for number, name in enumerate(chain)}
    recipe = validate({"name": "r", "model": model, "data": {"source": "digits"}, "passes": passes})
    return not make_plan(recipe).problems


def pairs(*tables: dict[str, Any]) -> list[tuple[str, str]]:
    return list(itertools.product(dict.fromkeys(name for table in tables for name in table), repeat=2))


QUICK = [*pairs(TORCH), *pairs(ONNX)]
SLOW = [pair for pair in [*pairs(TORCH, TRAINING), *pairs(ONNX, AWARE)] if pair not in QUICK]


def check(bench: Bench, chain: tuple[str, ...]) -> None:
    if any(pair in POINTLESS for pair in itertools.pairwise(chain)):
        assert not accepted(chain)
        return
    if accepted(chain) and chain not in NETWORK_HAS_NONE_LEFT:
        assert bench.run(chain).size_bytes > 0
    else:
        with pytest.raises(PassError):
            bench.run(chain)


@pytest.mark.parametrize("pair", QUICK, ids="-".join)
def test_a_pair_is_accepted_if_and_only_if_it_runs(pair: tuple[str, str], bench: Bench) -> None:
    check(bench, pair)


@pytest.mark.slow
@pytest.mark.parametrize("pair", SLOW, ids="-".join)
def test_a_pair_with_training_is_accepted_if_and_only_if_it_runs(pair: tuple[str, str], bench: Bench) -> None:
    check(bench, pair)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chain=st.lists(st.sampled_from(sorted(ONNX)), min_size=3, max_size=3).map(tuple))
def test_three_steps_that_are_accepted_run_to_the_end(chain: tuple[str, ...], bench: Bench) -> None:
    assume(accepted(chain))
    assert bench.run(chain).size_bytes > 0


def test_every_pass_stands_in_a_table() -> None:
    tried = {step["pass"] for table in (TORCH, TRAINING, ONNX, AWARE) for step in table.values()}
    assert tried | ELSEWHERE == set(NOUNS["passes"].built_in)
