"""The lock that keeps measurements of time apart: across users, and against whoever meddles with its file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edgepipe.base import machine_lock
from edgepipe.store.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="users, links and fork are POSIX's")

WAITED = "speed: another process is measuring on this machine; waiting for it"


@pytest.fixture
def lock() -> Iterator[Path]:
    """The lock's path in a folder like /tmp, which pytest's own folders are not: closed to other users."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o1777)
        yield Path(name) / machine_lock.NAME


def forked(work: Callable[..., None], *args: Any) -> Any:
    process = multiprocessing.get_context("fork").Process(target=work, args=args)
    process.start()
    return process


def hold(path: Path, user: int, taken: Any, leave: Any, said: Any) -> None:
    if user:
        os.setgid(user)
        os.setuid(user)
    os.umask(0o077)
    with machine_lock.alone(path, said.put):
        taken.set()
        leave.wait(60)


@pytest.mark.parametrize("users", [(0, 0), (12001, 12002)])
def test_one_measures_while_the_other_waits_and_says_so(lock: Path, users: tuple[int, int]) -> None:
    if users[0] and os.geteuid():
        pytest.skip("becoming another user takes root")
    fork = multiprocessing.get_context("fork")
    taken, leave, said = [fork.Event(), fork.Event()], [fork.Event(), fork.Event()], [fork.Queue(), fork.Queue()]
    first = forked(hold, lock, users[0], taken[0], leave[0], said[0])
    assert taken[0].wait(30)
    second = forked(hold, lock, users[1], taken[1], leave[1], said[1])
    assert said[1].get(timeout=30) == WAITED
    assert not taken[1].is_set()
    leave[0].set()
    assert taken[1].wait(30)
    leave[1].set()
    for process in (first, second):
        process.join(30)
        assert process.exitcode == 0
    assert said[0].empty()


def test_a_killed_owner_blocks_nobody(lock: Path) -> None:
    fork = multiprocessing.get_context("fork")
    taken = fork.Event()
    owner = forked(hold, lock, 0, taken, fork.Event(), fork.Queue())
    assert taken.wait(30)
    os.kill(owner.pid, signal.SIGKILL)
    owner.join(30)
    told: list[str] = []
    with machine_lock.alone(lock, told.append):
        assert told == []


def test_a_stopped_owner_is_not_waited_for_without_end(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_lock, "_MOST_SECONDS", 0.5)
    told: list[str] = []
    began = time.monotonic()
    with machine_lock.alone(lock, told.append), machine_lock.alone(lock, told.append):
        assert 0.5 < time.monotonic() - began < 10
    assert [text.partition(":")[2][:8] for text in told] == [" another", f" {lock}"[:8]]


@pytest.mark.parametrize("planted", ["link", "pipe", "folder", "dangling"])
def test_what_is_no_plain_file_is_left_alone_and_the_store_keeps_its_jobs_apart(
    lock: Path, tmp_path: Path, planted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    if planted != "dangling":
        victim.write_text("mine")
    if planted in ("link", "dangling"):
        lock.symlink_to(victim)
    elif planted == "pipe":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    with pytest.raises(OSError), machine_lock.alone(lock, print):
        pass
    monkeypatch.setattr(machine_lock, "shared_folder", lambda: lock.parent)
    told: list[str] = []
    store = Store(tmp_path / "store", told.append)
    for _ in range(2):
        with store.machine():
            assert (tmp_path / "store" / "locks" / "latency.lock").exists()
    assert len(told) == 1
    assert f"speed: {lock}: " in told[0]
    assert "only the jobs of this store are kept apart" in told[0]
    assert victim.exists() == (planted != "dangling")
    with suppress(FileNotFoundError):
        assert victim.read_text() == "mine"


def test_a_file_that_was_removed_meanwhile_is_not_taken_for_the_lock(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = machine_lock._open
    calls: list[int] = []

    def removed_once(path: Path) -> int:
        descriptor = opened(path)
        if not calls:
            path.unlink()
        calls.append(descriptor)
        return descriptor

    monkeypatch.setattr(machine_lock, "_open", removed_once)
    with machine_lock.alone(lock, print):
        assert len(calls) == 2
        assert lock.stat().st_mode & 0o777 == 0o644
