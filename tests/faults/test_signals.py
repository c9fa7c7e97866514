"""SIGTERM, SIGHUP and Ctrl-C end everything, say so, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepipe.base import children, stopping
from edgepipe.base.scratch import scratch, take_away_temporary
from edgepipe.engine import record
from edgepipe.records.metrics import read_metrics
from tests.faults.processes import start, training_project
from tests.small import arguments

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

HOME = Path(__file__).parents[2]


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_run_that_is_told_to_end_fails_with_a_record_and_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, code: int
) -> None:
    import edgepipe.passes.quantize_static as quantizing
    from edgepipe.__main__ import main

    monkeypatch.setattr(stopping, "_end_descendants", lambda *_: None)  # they are pytest's here
    monkeypatch.setattr(quantizing.QuantizeStatic, "apply", lambda *_: os.kill(os.getpid(), number))
    assert main(arguments(tmp_path, f"hydra.run.dir={tmp_path}/run")) == code
    said = " ".join(capsys.readouterr().err.split())
    assert ("interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}") in said
    metrics = read_metrics(tmp_path / "run")
    assert metrics.status == "failed"
    assert metrics.failure is not None
    assert metrics.failure.step == "quantize"
    assert not (tmp_path / "run" / "final").exists()
    assert list((tmp_path / "store" / "tmp").iterdir()) == []


def test_a_signal_while_the_record_is_assembled_leaves_one_that_says_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgepipe.__main__ import main

    usual, told = record.Account.metrics, []

    def assemble(*args: object) -> object:
        if not told:
            told.append(os.kill(os.getpid(), signal.SIGTERM))
        return usual(*args)

    monkeypatch.setattr(stopping, "_end_descendants", lambda *_: None)  # they are pytest's here
    monkeypatch.setattr(record.Account, "metrics", assemble)
    assert main(arguments(tmp_path, "measure.latency_seconds=0.1", f"hydra.run.dir={tmp_path}/run")) == 143
    metrics = read_metrics(tmp_path / "run")
    assert metrics.status == "failed"
    assert metrics.failure is not None
    assert "ended by SIGTERM" in metrics.failure.message
    assert not (tmp_path / "run" / "final").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)], ids=["TERM", "HUP", "INT"]
)
def test_training_that_is_told_to_end_leaves_its_state_and_nothing_else(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    project = training_project(tmp_path)
    more = ("passes.train.epochs=2000", "store.root=store", "hydra.run.dir=run")
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    process = start("recipe=tiny", "trust_code=true", *more, cwd=project, TMPDIR=str(tmp))
    until(lambda: bool(list((project / "store").glob("state/*/epoch.pt"))) or process.poll() is not None)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert ("interrupted" if number == signal.SIGINT else f"ended by {number.name}") in err
    metrics = read_metrics(project / "run")
    assert metrics.status == "failed"
    assert metrics.failure is not None
    assert metrics.failure.step == "train"
    assert not [path for path in tmp.iterdir() if path.name.startswith("edgepipe-")]
    assert list((project / "store" / "tmp").iterdir()) == []


def _main_with(body: str, tmp: Path) -> subprocess.Popen[str]:
    """The command line, one verb of which runs `body`."""
    code = f"import edgepipe.__main__ as m, sys, time, os\ndef verb(argv):\n{body}\n    return 0\n"
    code += "m.VERBS['verb'] = '__main__:verb'\nsys.exit(m.main(['verb']))\n"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=HOME,
        env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"} | {"TMPDIR": str(tmp)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


CHILD = """
    from edgepipe.base import children
    from edgepipe.base.scratch import scratch
    with scratch('child') as folder:
        with children.running(['sh', '-c', 'trap "" TERM INT; sleep 300 & wait; sleep 300']) as process:
            print(process.pid, flush=True)
            process.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_program_that_hears_no_signal_ends_with_the_command_and_its_folder_goes(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = _main_with(CHILD, tmp_path)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 128 + number
    until(lambda: gone(child), 10)
    assert list(tmp_path.iterdir()) == []


def test_killed_outright_what_its_programs_started_ends_too(tmp_path: Path) -> None:
    started = CHILD.replace("wait; sleep 300", "echo $!; wait; sleep 300")
    process = _main_with(started, tmp_path)
    assert process.stdout is not None
    below = [int(process.stdout.readline()) for _ in range(2)]  # the program, and what it started, in any order
    process.kill()
    process.wait(timeout=30)
    until(lambda: all(gone(pid) for pid in below), 10)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_killed_outright_its_programs_end_too_and_the_next_command_takes_its_folder_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = _main_with(CHILD.replace("trap", "exec sleep 300; trap"), tmp_path)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    process.communicate(timeout=30)
    until(lambda: gone(child), 10)
    assert len(list(tmp_path.glob("edgepipe-child-*"))) == 2  # the folder and its lock
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch("alive") as alive:
        take_away_temporary()
        assert sorted(path.name for path in tmp_path.iterdir()) == [alive.name, f"{alive.name}.lock"]
    assert list(tmp_path.iterdir()) == []


NATIVE = """
    import ctypes
    from edgepipe.base.stopping import last_words
    from edgepipe.base.scratch import scratch
    with scratch('native'), last_words(lambda words: print('LAST', words, flush=True)):
        print('ready', flush=True)
        libc = ctypes.CDLL(None)
        lock = ctypes.create_string_buffer(64)
        libc.pthread_mutex_lock(lock)
        libc.pthread_mutex_lock(lock)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.skipif(sys.platform != "linux", reason="a lock of the C library that never comes free")
def test_a_call_into_native_code_that_never_returns_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    process = _main_with(NATIVE, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert out.startswith("LAST ")
    assert "run the same command to go on" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="a lock of the C library that never comes free")
def test_what_was_printed_is_written_before_the_process_is_ended(tmp_path: Path) -> None:
    process = _main_with(
        NATIVE.replace(", last_words(lambda words: print('LAST', words, flush=True))", "").replace(
            "libc =", "print('printed', end=''); libc ="
        ),
        tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (143, "printed")


def test_handlers_are_those_of_before_when_the_command_is_over() -> None:
    from edgepipe.__main__ import main

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert main(["store"]) == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_thread_of_an_embedding_program_sets_no_handler() -> None:
    before = signal.getsignal(signal.SIGTERM)
    found: list[object] = []

    def embedded() -> None:
        with stopping.listening():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=embedded)
    thread.start()
    thread.join()
    assert found == [before]


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it
    try:
        with stopping.listening():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_program_that_takes_too_much_memory_or_time_is_ended() -> None:
    if sys.platform == "linux":
        with pytest.raises(MemoryError):
            children.run(
                [sys.executable, "-c", "x = bytearray(3 * 10**8); import time; time.sleep(60)"], most_bytes=10**8
            )
    with pytest.raises(subprocess.TimeoutExpired):
        children.run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.5)
    assert children.pids() == set()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_sweep_in_several_processes_ends_as_a_whole(tmp_path: Path, launcher: str) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    project = training_project(tmp_path)
    more = ("hydra.launcher.n_jobs=2",) if launcher == "joblib" else ()
    epochs = "passes.train.epochs=2000,2001"
    places = (f"store.root={project}/store", "hydra.sweep.dir=sweep")
    process = start(
        "-m", f"hydra/launcher={launcher}", *more, "recipe=tiny", "trust_code=true", *places, epochs, cwd=project
    )
    until(lambda: len(list((project / "store").glob("state/*/epoch.pt"))) == 2 or process.poll() is not None, 200)
    below = children_of(process.pid)
    assert below
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "Traceback" not in err
    until(lambda: all(gone(pid) for pid in below), 10)
    assert [read_metrics(project / "sweep" / job).status for job in ("0", "1")] == ["failed", "failed"]
    assert list((project / "store" / "tmp").iterdir()) == []


def children_of(pid: int) -> list[int]:
    found = [int(item) for item in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [below for item in found for below in children_of(item)]
