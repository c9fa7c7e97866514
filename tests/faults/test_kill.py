"""`kill -9` at random moments; the same command then ends where an undisturbed run ends."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgepipe.records.metrics import read_metrics
from edgepipe.store.collection import verify
from edgepipe.store.store import Store
from edgepipe.training.training_state import read_checkpoint
from tests.faults.processes import finish, fork, join, start, training_project
from tests.small import arguments

TINY = ("recipe=tiny", "trust_code=true", "store.root=store", "hydra.run.dir=run")


def epochs_kept(store: Path) -> int:
    """Epochs of the training that runs now whose state is on the disk."""
    found = list((store / "state").glob("*/epoch.pt"))
    return int(read_checkpoint(found[0])["epoch"]) if found else 0


def no_halves(store: Path) -> None:
    good, damaged = verify(Store(store))
    assert good > 0
    assert damaged == []
    assert not list((store / "steps").glob(".*"))


def test_a_killed_run_is_finished_by_the_same_command(tmp_path: Path) -> None:
    argv = arguments(tmp_path, "hydra.run.dir=run")
    began = time.perf_counter()
    finish(start(*argv, cwd=tmp_path))
    length = time.perf_counter() - began
    wanted = (tmp_path / "run" / "final" / "model.onnx").read_bytes()
    for share in (0.5, 0.8):
        shutil.rmtree(tmp_path / "store")
        shutil.rmtree(tmp_path / "run")
        process = start(*argv, cwd=tmp_path)
        time.sleep(share * length)
        process.kill()
        process.communicate()
        finish(start(*argv, cwd=tmp_path))
        assert (tmp_path / "run" / "final" / "model.onnx").read_bytes() == wanted
        no_halves(tmp_path / "store")


def test_an_interrupted_training_goes_on_from_its_last_epoch(tmp_path: Path) -> None:
    project = training_project(tmp_path)
    more = ("passes.train.epochs=15",)
    finish(start(*TINY, *more, cwd=project))
    wanted = (project / "run" / "final" / "model.onnx").read_bytes()
    shutil.rmtree(project / "store")
    process = start(*TINY, *more, cwd=project)
    deadline = time.monotonic() + 120
    while epochs_kept(project / "store") < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    err = finish(start(*TINY, *more, cwd=project))
    assert "(went on after epoch " in err
    metrics = read_metrics(project / "run")
    assert (project / "run" / "final" / "model.onnx").read_bytes() == wanted
    assert metrics.passes[1].facts["resumed_from_epoch"] >= 1
    # And once more: everything is stored, and a run that only reads does not wait for torch to be imported.
    code = "import sys; sys.modules['torch'] = None; from edgepipe.__main__ import main; sys.exit(main(sys.argv[1:]))"
    cached = [sys.executable, "-c", code, *TINY, *more]
    done = subprocess.run(cached, cwd=project, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert all(step.cached and step.measurement_cached for step in read_metrics(project / "run").passes)


def test_stopping_a_sweep_from_the_keyboard_stops_all_its_jobs(tmp_path: Path) -> None:
    project = training_project(tmp_path)
    more = ("recipe=tiny", "trust_code=true", "store.root=store", "hydra.sweep.dir=sweep")
    process = start("-m", *more, "passes.train.epochs=200,201,202", cwd=project)
    deadline = time.monotonic() + 120
    while epochs_kept(project / "store") < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "interrupted" in err
    assert not (project / "sweep" / "1").exists()
    assert read_metrics(project / "sweep" / "0").status == "failed"
    assert epochs_kept(project / "store") >= 2


def killed_and_finished(folder: Path, after_seconds: float) -> bytes:
    """The final model of a run that was killed, and of the same command behind it."""
    project = training_project(folder)
    process = fork(*TINY, cwd=project, log=project / "killed.log")
    time.sleep(after_seconds)
    process.kill()
    process.join()
    join(fork(*TINY, cwd=project, log=project / "finished.log"), project / "finished.log")
    no_halves(project / "store")
    found = (project / "run" / "final" / "model.onnx").read_bytes()
    shutil.rmtree(project)
    return found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_kills_twenty_recoveries(tmp_path: Path) -> None:
    project = training_project(tmp_path / "undisturbed")
    began = time.perf_counter()
    join(fork(*TINY, cwd=project, log=project / "log"), project / "log")
    length = time.perf_counter() - began
    wanted = (project / "run" / "final" / "model.onnx").read_bytes()
    random_moments = random.Random(7)
    moments = [random_moments.uniform(0.05, 1.0) * length for _ in range(20)]
    with ThreadPoolExecutor(2) as pool:  # one for each core
        found = list(pool.map(killed_and_finished, [tmp_path / str(number) for number in range(20)], moments))
    assert [model == wanted for model in found] == [True] * 20
