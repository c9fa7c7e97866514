"""How often a run composes its recipe, reads a graph and opens a session: figures that may only shrink."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl

import edgepipe.recipe.compose
from edgepipe.__main__ import main
from tests.small import arguments

MOST_READ = 11
"""The source twice (its digest, its check), then each model by the pass that changes it, once by all that measures it,
as the runtime optimizes it, and by the check of what its pass promised; the last one by the bundle."""
MOST_OPENED = 28
"""Ten for speed, since both models are reopened five times; one says which task the outputs of the model are, one
what layers are given on average."""


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    found: Counter[str] = Counter()

    def counted(owner: Any, name: str, what: str) -> None:
        usual = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            found[what] += 1
            return usual(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    counted(ConfigLoaderImpl, "load_configuration", "composed")
    counted(edgepipe.recipe.compose, "validate", "validated")
    counted(onnx, "load", "read")
    counted(onnxruntime.InferenceSession, "__init__", "opened")
    return found


def test_a_run_composes_once_and_reads_each_graph_once_for_each_use(tmp_path: Path, counts: Counter[str]) -> None:
    argv = arguments(tmp_path, f"hydra.run.dir={tmp_path}/run")
    assert main(argv) == 0
    assert (counts["composed"], counts["validated"]) == (1, 1)
    assert counts["read"] <= MOST_READ
    assert counts["opened"] <= MOST_OPENED
    counts.clear()
    assert main([*argv[:-1], f"hydra.run.dir={tmp_path}/again"]) == 0
    assert (counts["composed"], counts["validated"]) == (1, 1)
    assert counts["read"] <= 3  # digest and outputs of the model; the bundle asks which operators compute on floats
    assert counts["opened"] <= 3  # what golden inputs are; golden answers; the operators that compute on floats


def test_a_search_or_a_plan_composes_once(tmp_path: Path, counts: Counter[str]) -> None:
    assert main(["plan", *arguments(tmp_path)]) == 0
    assert (counts["composed"], counts["validated"]) == (1, 1)
    assert counts["read"] + counts["opened"] == 0
