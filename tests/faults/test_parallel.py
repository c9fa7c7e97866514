"""Several processes, one store: every step is computed once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgepipe.records.metrics import read_metrics
from tests.faults.processes import finish, fork, join, start
from tests.small import arguments


def race(folder: Path, processes: int, repetitions: int) -> None:
    argv = arguments(folder, "measure.latency_seconds=0.1")
    for repetition in range(repetitions):
        shutil.rmtree(folder / "store", ignore_errors=True)
        runs = [folder / f"run{repetition}_{number}" for number in range(processes)]
        logs = [folder / f"{run.name}.log" for run in runs]
        started = [
            fork(*argv, f"hydra.run.dir={run}", cwd=folder, log=log) for run, log in zip(runs, logs, strict=True)
        ]
        for process, log in zip(started, logs, strict=True):
            join(process, log)
        found = [read_metrics(run) for run in runs]
        computed = [step.label for metrics in found for step in metrics.passes if not step.cached]
        assert sorted(computed) == ["export", "load", "quantize"]
        assert len({(run / "final" / "model.onnx").read_bytes() for run in runs}) == 1
        for run in runs:
            shutil.rmtree(run)


@pytest.mark.parametrize("processes", [2, 4])
def test_a_step_is_computed_once(tmp_path: Path, processes: int) -> None:
    race(tmp_path, processes, 1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("processes", [2, 4])
def test_a_step_is_computed_once_twenty_times_over(tmp_path: Path, processes: int) -> None:
    race(tmp_path, processes, 20)


def test_a_dead_owner_blocks_nobody(tmp_path: Path) -> None:
    argv = arguments(tmp_path)
    killed = start(*argv, f"hydra.run.dir={tmp_path}/a", cwd=tmp_path)
    while not list((tmp_path / "store" / "tmp").glob("*")):
        assert killed.poll() is None
    killed.kill()
    killed.communicate()
    finish(start(*argv, f"hydra.run.dir={tmp_path}/b", cwd=tmp_path))
