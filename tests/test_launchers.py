"""Sweeps whose jobs run in parallel share the store and end in one summary."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from edgepipe.records.metrics import read_metrics
from tests.faults.processes import finish, start, training_project

pytest.importorskip("hydra_plugins.hydra_joblib_launcher")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_joblib_jobs_train_the_shared_baseline_once(tmp_path: Path) -> None:
    project = training_project(tmp_path)
    err = finish(
        start(
            "-m",
            "hydra/launcher=joblib",
            "hydra.launcher.n_jobs=2",
            "recipe=tiny",
            "trust_code=true",
            "store.root=store",
            "hydra.sweep.dir=sweep",
            "passes.prune.ratio=0.1,0.3,0.5,0.7",
            cwd=project,
        )
    )
    runs = json.loads((project / "sweep" / "sweep.json").read_text())["runs"]
    assert [run["status"] for run in runs] == ["ok"] * 4
    found = [read_metrics(project / "sweep" / run["folder"]) for run in runs]
    assert sum(not step.cached for metrics in found for step in metrics.passes if step.label == "train") == 1
    assert len({metrics.final.macs for metrics in found if metrics.final}) == 4
    assert "another process is" in err
    assert {metrics.environment.cores for metrics in found} == {max(1, (os.cpu_count() or 1) // 2)}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_submitit_runs_jobs_here_as_slurm_would(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    project = training_project(tmp_path)
    finish(
        start(
            "-m",
            "hydra/launcher=submitit_local",
            "recipe=tiny",
            "trust_code=true",
            f"store.root={project}/store",
            "hydra.sweep.dir=sweep",
            "passes.prune.ratio=0.1,0.5",
            cwd=project,
        )
    )
    runs = json.loads((project / "sweep" / "sweep.json").read_text())["runs"]
    assert [run["status"] for run in runs] == ["ok"] * 2
    found = [read_metrics(project / "sweep" / run["folder"]) for run in runs]
    assert sum(not step.cached for metrics in found for step in metrics.passes if step.label == "train") == 1
    # All start at once, so each is told its share of the cores.
    assert {metrics.environment.cores for metrics in found} == {max(1, (os.cpu_count() or 1) // 2)}


RAY = (
    "-m",
    "hydra/launcher=ray",
    "+hydra.launcher.ray.init.num_cpus=2",
    "+hydra.launcher.ray.init.include_dashboard=false",
    "recipe=tiny",
    "trust_code=true",
    "store.root=store",
    "hydra.sweep.dir=sweep",
)
"""A sweep of the training project by Ray, all but what is swept."""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ray_jobs_train_the_shared_baseline_once_on_a_core_each(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    project = training_project(tmp_path)
    finish(start(*RAY, "passes.prune.ratio=0.1,0.3,0.5", cwd=project))
    runs = json.loads((project / "sweep" / "sweep.json").read_text())["runs"]
    assert [run["status"] for run in runs] == ["ok"] * 3
    found = [read_metrics(project / "sweep" / run["folder"]) for run in runs]
    assert sum(not step.cached for metrics in found for step in metrics.passes if step.label == "train") == 1
    assert {metrics.environment.cores for metrics in found} == {1}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_sweep_by_ray_ends_by_sigterm_and_leaves_no_process(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    project = training_project(tmp_path)
    sweep = start(*RAY, "passes.prune.ratio=0.1,0.3", cwd=project)
    while sweep.poll() is None and not list(project.glob("sweep/*/edgepipe.log")):
        time.sleep(0.2)
    started = [child.pid for child in psutil.Process(sweep.pid).children(recursive=True)]
    sweep.send_signal(signal.SIGTERM)
    _, err = sweep.communicate(timeout=120)
    assert sweep.returncode == 143
    assert "*** SIGTERM received" not in err  # Ray's own end, an abort
    psutil.wait_procs([psutil.Process(pid) for pid in started if psutil.pid_exists(pid)], timeout=20)
    assert not [pid for pid in started if psutil.pid_exists(pid)]
