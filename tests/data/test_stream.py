from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgepipe.contract import Split
from edgepipe.data import stream
from edgepipe.data.decode import Work
from edgepipe.data.digits import DigitsData
from edgepipe.data.geometry import Frame
from edgepipe.data.stream import decoded, regroup
from edgepipe.errors import DataError
from tests.data.drawing import png

FRAME = Frame(8, 8, 3, "bilinear")


def jobs(count: int, pulled: list[int] | None = None) -> Iterator[Work]:
    for number in range(count):
        if pulled is not None:
            pulled.append(number)
        yield Work([str(number)], [png(number)], FRAME)


@pytest.mark.parametrize("pictures", [10, stream.PROCESSES_FROM])
def test_results_are_ordered_and_equal_for_any_number_of_workers(pictures: int) -> None:
    expected = list(decoded(jobs(10), pictures, 0))
    for workers in (1, 2):
        found = list(decoded(jobs(10), pictures, workers))
        assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))


def test_decoding_runs_ahead_by_a_bounded_window() -> None:
    pulled: list[int] = []
    results = decoded(jobs(1000, pulled), 1000, 2)
    next(results)
    assert len(pulled) == 5
    results.close()  # type: ignore[attr-defined]


def test_an_error_in_a_worker_process_names_the_file() -> None:
    work = [Work(["train/cat/7.png"], [b"broken"], FRAME)]
    with pytest.raises(DataError, match=r"train/cat/7\.png: not a readable picture"):
        list(decoded(work, stream.PROCESSES_FROM, 1))


def _die(_: Work) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_worker_that_dies_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "decode", _die)
    with pytest.raises(DataError, match=r"a decoding process died.*data\.workers=0"):
        list(decoded(jobs(1), stream.PROCESSES_FROM, 1))


KILLED = """
import multiprocessing, sys
from edgepipe.data import stream
from tests.data.test_stream import jobs

if __name__ == "__main__":
    results = stream.decoded(jobs(100), stream.PROCESSES_FROM, 2)
    next(results)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, str(script)], env=environment, **pipes) as parent:
        assert parent.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(workers) == 2
    assert not psutil.wait_procs(workers, timeout=30)[1]


def test_regroup_cuts_any_chunks_into_equal_batches() -> None:
    chunks = [np.arange(start, stop, dtype=np.uint8) for start, stop in ((0, 5), (5, 6), (6, 17))]
    assert [len(batch) for batch in regroup(chunks, 4)] == [4, 4, 4, 4, 1]
    assert np.concatenate(list(regroup(chunks, 3))).tolist() == list(range(17))


def test_a_source_gives_the_same_batches_with_and_without_workers(tmp_path: Path) -> None:
    found = [
        np.concatenate([batch.only for batch in DigitsData(workers=workers).open(tmp_path).batches(Split.TRAIN, 100)])
        for workers in (0, 3)
    ]
    assert np.array_equal(*found)
