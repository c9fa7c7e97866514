"""Tracking with the real MLflow: an SQLite store, a server, a server that is away, sweeps."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepipe.__main__ import main
from edgepipe.recipe.schema import Tracking
from edgepipe.records.metrics import read_metrics
from edgepipe.tracking import TrackingError, track, unanswered
from tests.faults.processes import finish, start
from tests.small import arguments

HAS_MLFLOW = pytest.mark.skipif(
    subprocess.run(
        [sys.executable, "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('mlflow') is None)"],
        cwd=Path(__file__).parent,
        check=False,
    ).returncode
    != 0,
    reason="MLflow is not installed (extra `tracking`)",
)
TRACKED = ("tracking=mlflow",)


def client(uri: str):
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs(uri: str, experiment: str = "edgepipe") -> list:
    found = client(uri)
    return list(found.search_runs([found.get_experiment_by_name(experiment).experiment_id]))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@HAS_MLFLOW
def test_settings_metrics_of_every_step_and_artifacts_reach_an_sqlite_store(tmp_path: Path) -> None:
    err = finish(start(*arguments(tmp_path, "hydra.run.dir=run"), *TRACKED, cwd=tmp_path))
    assert "alembic" not in err
    uri = f"sqlite:///{tmp_path}/outputs/mlflow.db"
    (run,) = runs(uri)
    metrics = read_metrics(tmp_path / "run")
    assert metrics.final is not None
    assert run.info.status == "FINISHED"
    assert run.data.params["passes.quantize.preset"] == "fast"
    assert run.data.params["data.evaluation"].endswith("e.npz")
    assert not [name for name in run.data.params if name.startswith(("tracking", "store"))]
    assert run.data.metrics["size_bytes"] == metrics.final.size_bytes
    assert run.data.metrics["int8_share.conv"] == 1.0
    assert run.data.metrics["quality/top1"] == metrics.final.quality["top1"].value
    for step in metrics.passes:
        assert step.measurements is not None
        assert run.data.metrics[f"{step.label}/quality/top1"] == step.measurements.quality["top1"].value
    history = client(uri).get_metric_history(run.info.run_id, "size_bytes")
    assert sorted((item.step, item.value) for item in history) == [
        (index, step.measurements.size_bytes) for index, step in enumerate(metrics.passes) if step.measurements
    ]
    assert run.data.tags["edgepipe.steps"] == "0=load, 1=quantize, 2=export"
    assert run.info.end_time - run.info.start_time == int(metrics.seconds * 1000)
    place = Path(client(uri).download_artifacts(run.info.run_id, "", str(tmp_path)))
    assert (place / "final" / "model.onnx").read_bytes() == (tmp_path / "run" / "final" / "model.onnx").read_bytes()
    assert {path.name for path in place.iterdir()} >= {"metrics.json", "recipe.yaml", "report.html", "final"}
    assert (tmp_path / "outputs" / "mlartifacts").is_dir()
    # The same run again is not logged twice; a new one in the same folder is.
    assert main(["track", str(tmp_path / "run"), "--uri", uri]) == 0
    assert len(runs(uri)) == 1
    finish(start(*arguments(tmp_path, "hydra.run.dir=run"), *TRACKED, "tracking.log_model=false", cwd=tmp_path))
    assert len(runs(uri)) == 2
    newest = max(runs(uri), key=lambda item: item.info.start_time)
    assert "final" not in [item.path for item in client(uri).list_artifacts(newest.info.run_id)]


@HAS_MLFLOW
def test_a_server_that_is_away_costs_a_note_and_the_run_is_logged_later(tmp_path: Path) -> None:
    away = f"tracking.uri=http://127.0.0.1:{free_port()}"
    began = time.monotonic()
    err = finish(start(*arguments(tmp_path, "hydra.run.dir=run"), *TRACKED, away, cwd=tmp_path))
    assert time.monotonic() - began < 120
    assert "does not answer" in err.splitlines()[0]
    assert err.count("edgepipe track RUN") == 2
    assert read_metrics(tmp_path / "run").status == "ok"
    assert (tmp_path / "run" / "final" / "model.onnx").is_file()
    uri = f"sqlite:///{tmp_path}/later.db"
    assert main(["track", str(tmp_path / "run"), "--uri", uri, "--experiment", "mine"]) == 0
    assert [run.info.status for run in runs(uri, "mine")] == ["FINISHED"]


@HAS_MLFLOW
def test_a_run_is_logged_beside_itself_whatever_its_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(arguments(tmp_path / "made", f"hydra.run.dir={tmp_path}/run")) == 0
    shutil.rmtree(tmp_path / "run" / "steps")
    name = "50%20 ?mode=no#1"
    home = tmp_path / name / "100%"
    home.mkdir(parents=True)
    monkeypatch.chdir(home)
    shutil.copytree(tmp_path / "run", "run")
    run_id = track(Path("run"), Tracking())
    logged = home / "outputs" / "mlartifacts" / run_id / "artifacts"
    assert (home / "outputs" / "mlflow.db").is_file()
    assert (logged / "final" / "model.onnx").read_bytes() == (home / "run" / "final" / "model.onnx").read_bytes()
    assert track(Path("run"), Tracking()) == run_id
    assert {path.name for path in tmp_path.iterdir()} == {"made", "run", name}


@HAS_MLFLOW
def test_a_server_that_takes_connections_and_never_answers_is_given_up_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(arguments(tmp_path, f"hydra.run.dir={tmp_path}/run")) == 0
    monkeypatch.setattr("edgepipe.tracking._ANSWER_SECONDS", 0.2)
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)  # its own patience is never asked for
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = Tracking(uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "does not answer (" in str(unanswered(settings))
        with pytest.raises(TrackingError, match=r"does not answer \(.*The run is whole; log it again"):
            track(tmp_path / "run", settings)


@HAS_MLFLOW
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_database_that_is_none_costs_a_note(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database at all" * 100)
    uri = f"tracking.uri=sqlite:///{tmp_path}/broken.db"
    err = finish(start(*arguments(tmp_path, "hydra.run.dir=run"), *TRACKED, uri, cwd=tmp_path))
    assert "broken.db" in err
    assert "The run is whole" in err


@HAS_MLFLOW
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_failed_run_is_logged_as_failed(tmp_path: Path) -> None:
    argv = arguments(tmp_path, "hydra.run.dir=run", "passes.quantize.exclude=[nowhere]")
    finish(start(*argv, *TRACKED, cwd=tmp_path), 1)
    (run,) = runs(f"sqlite:///{tmp_path}/outputs/mlflow.db")
    assert run.info.status == "FAILED"
    assert run.data.tags["edgepipe.failed_step"] == "quantize"
    assert "no node or operator 'nowhere'" in run.data.tags["edgepipe.failure"]


@HAS_MLFLOW
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_sweep_is_one_parent_with_a_run_for_each_job(tmp_path: Path) -> None:
    argv = arguments(tmp_path, "hydra.sweep.dir=sweep", "passes.quantize.observer=mse,min_max")
    finish(start("-m", *argv, *TRACKED, cwd=tmp_path))
    found = runs(f"sqlite:///{tmp_path}/outputs/mlflow.db")
    (parent,) = [run for run in found if run.data.tags.get("edgepipe.kind") == "sweep"]
    jobs = [run for run in found if run is not parent]
    assert sorted(run.data.params["passes.quantize.observer"] for run in jobs) == ["min_max", "mse"]
    assert {run.data.tags["mlflow.parentRunId"] for run in jobs} == {parent.info.run_id}
    assert {run.data.tags["edgepipe.sweep"] for run in jobs} == {str(tmp_path / "sweep")}
    for run in jobs:
        assert f"passes.quantize.observer={run.data.params['passes.quantize.observer']}" in run.info.run_name
        assert "store.root" not in run.info.run_name


def test_untracked_runs_never_import_mlflow(tmp_path: Path) -> None:
    code = (
        "import sys; from edgepipe.__main__ import main; code = main(sys.argv[1:]); "
        "assert not {'mlflow', 'edgepipe.tracking'} & set(sys.modules), 'mlflow was imported'; sys.exit(code)"
    )
    argv = arguments(tmp_path, f"hydra.run.dir={tmp_path}/run")
    subprocess.run([sys.executable, "-c", code, *argv], check=True, timeout=120)
    assert not (tmp_path / "run" / "tracking.json").exists()


def test_without_mlflow_tracking_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert main(arguments(tmp_path, *TRACKED, f"hydra.run.dir={tmp_path}/run")) == 2
    assert "pip install 'edgepipe[tracking]'" in capfd.readouterr().err
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("tracking.uri=http://me:secret@host:5000", "MLFLOW_TRACKING_PASSWORD"),
        ("tracking.uri=/some/folder", "sqlite:///FILE"),
        ("tracking.uri=file:/some/folder", "sqlite:///FILE"),
        ("tracking.artefacts=true", "unknown key"),
        ("tracking=wandb", "there is no tracking 'wandb'"),
    ],
)
def test_wrong_settings_are_refused(
    tmp_path: Path, override: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *arguments(tmp_path, *TRACKED if "=wandb" not in override else (), override)]) == 2
    assert said in capfd.readouterr().err


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real MLflow server on loopback, over SQLite, that serves artifacts."""
    uri = f"http://127.0.0.1:{free_port()}"
    port = uri.rpartition(":")[2]
    argv = ["server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    places = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", f"{tmp_path}/served"]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *argv, *places],
            stdout=log,
            stderr=log,
            cwd=tmp_path,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
            start_new_session=True,
        )
    deadline = time.monotonic() + 240
    while True:
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=5).close()
            break
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "server.log").read_text()
            time.sleep(0.2)
    yield uri
    os.killpg(process.pid, 15)
    process.wait(60)


@HAS_MLFLOW
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_server_takes_runs_of_parallel_jobs(tmp_path: Path, server: str) -> None:
    argv = arguments(
        tmp_path, "hydra.sweep.dir=sweep", "passes.quantize.observer=mse,min_max", f"tracking.uri={server}"
    )
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    finish(start("-m", *argv, *TRACKED, *joblib, cwd=tmp_path))
    found = runs(server)
    parents = [run for run in found if run.data.tags.get("edgepipe.kind") == "sweep"]
    assert len(found) == 3
    assert len(parents) == 1
    job = next(run for run in found if run.data.params.get("passes.quantize.observer") == "min_max")
    assert job.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
    place = Path(client(server).download_artifacts(job.info.run_id, "final", str(tmp_path)))
    folder = next(
        run["folder"]
        for run in json.loads((tmp_path / "sweep" / "sweep.json").read_text())["runs"]
        if "min_max" in run["name"]
    )
    assert (place / "model.onnx").read_bytes() == (tmp_path / "sweep" / folder / "final/model.onnx").read_bytes()
    assert not (tmp_path / "outputs" / "mlflow.db").exists()
