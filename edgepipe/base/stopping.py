"""SIGTERM (CI, Slurm, containers) and SIGHUP (a closed session) end the command line as Ctrl-C does.

Heard only while the command line runs, in its main thread; the handlers before come back after it. A long call into
C++ lets no Python handler run: then a thread ends the process, and so does a second signal to whoever is impatient.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edgepipe.base import children, scratch

INTERRUPTED = 130
"""Exit code of what was stopped from the keyboard, as shells have it."""

NATIVE_SECONDS = 3.0
"""How long a call into C++ may keep the handler from running before the process is ended from outside of it."""
ORDERLY_SECONDS = 20.0
"""How long going back through all blocks may take, from the handler to the end."""
_WORKERS_SECONDS = 8.0
_TWICE_SECONDS = 1.0
_FLUSH_SECONDS = 1.0

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_last_words: list[Callable[[str], object]] = []


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end. Goes wherever a KeyboardInterrupt goes."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.number = int(number)


def code_of(stopped: KeyboardInterrupt) -> int:
    """The exit code, as shells have it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + stopped.number if isinstance(stopped, Stopped) else INTERRUPTED


def words_of(stopped: KeyboardInterrupt) -> str:
    """What happened and what to do."""
    return _words(code_of(stopped) - 128)


def _words(number: int) -> str:
    by = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    return f"{by}; run the same command to go on from the last finished step"


@contextmanager
def last_words(say: Callable[[str], object]) -> Iterator[None]:
    """Have `say(words)` called before this process is ended without going back through its blocks."""
    _last_words.append(say)
    try:
        yield
    finally:
        _last_words.remove(say)


class Ears:
    """What was heard. `number`: of the first signal; None so far. `numbers`: those that are listened to."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.numbers: list[int] = []
        self.at = 0.0
        self.acted = threading.Event()
        self.over = threading.Event()

    def heard(self, number: int, _frame: Any) -> None:
        """The handler."""
        if self.number is not None:
            if time.monotonic() - self.at > _TWICE_SECONDS:
                _end_now(number)
            return  # the terminal and the parent may both have said it
        self.number, self.at = number, time.monotonic()
        self.acted.set()
        children.end_all()
        _end_descendants(_WORKERS_SECONDS)
        raise Stopped(number)

    def watch(self, reading: int) -> None:
        """In a thread of its own: end the process where the main thread cannot."""
        numbers = {int(getattr(signal, name)) for name in _NAMES if hasattr(signal, name)}
        while said := os.read(reading, 1):
            if said[0] in numbers:
                acted = self.acted.wait(NATIVE_SECONDS)
                if not acted or not self.over.wait(ORDERLY_SECONDS + _WORKERS_SECONDS):
                    _end_now(said[0])
        os.close(reading)


_ears: Ears | None = None


@contextmanager
def listening(*, worker: bool = False) -> Iterator[Ears]:
    """Hear the signals during the block; in another thread than the main one, and inside another block, do nothing.

    Args:
        worker: this is a process that somebody else's command line started: it ends when it was told to.
    """
    global _ears
    if _ears is not None or threading.current_thread() is not threading.main_thread():
        yield _ears or Ears()
        return
    ears = _ears = Ears()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before: dict[int, Any] = {}
    try:
        old_wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        threading.Thread(target=ears.watch, args=(reading,), daemon=True, name="edgepipe-signals").start()
        for number in [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]:
            now = signal.getsignal(number)
            if now is not None and now is not signal.SIG_IGN:  # nohup, or the background of a script
                before[number] = signal.signal(number, ears.heard)
                ears.numbers.append(number)
        yield ears
    finally:
        ears.over.set()
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(old_wakeup)
        os.close(writing)  # which ends the thread
        _ears = None
        if ears.number is not None:
            _end_descendants(0)
            if worker:
                _end_now(ears.number, quiet=True)


@contextmanager
def heard_beside_ray() -> Iterator[None]:
    """Hear the signals again once Ray has started: its core takes SIGTERM for itself, prints a trace and aborts."""
    import ray

    begin = ray.init

    def init(*args: Any, **settings: Any) -> Any:
        begun = begin(*args, **settings)
        if _ears is not None and threading.current_thread() is threading.main_thread():
            for number in _ears.numbers:
                signal.signal(number, _ears.heard)
        return begun

    ray.init = init
    try:
        yield
    finally:
        ray.init = begin


def _end_now(number: int, *, quiet: bool = False) -> None:
    """End this process and what it started; temporary folders go, and the run says that it failed."""
    if not quiet:
        for say in reversed(_last_words):
            with suppress(Exception):
                say(_words(number))
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{_words(number)}\n")
            sys.stderr.flush()
    children.end_all()
    _end_descendants(0)
    scratch.remove_mine()
    _flush()
    os._exit(128 + number)


def _flush() -> None:
    """Write what was printed and still waits; whoever holds a stream is not waited for."""

    def flush() -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()

    flushing = threading.Thread(target=flush, daemon=True)
    flushing.start()
    flushing.join(_FLUSH_SECONDS)


def _end_descendants(grace: float) -> None:
    """End the processes that launchers and pools started: asked first, killed after `grace` seconds."""
    asked: set[int] = set()
    if grace:
        for pid in descendants() - children.pids() - children.helpers():
            with suppress(OSError):
                os.kill(pid, signal.SIGTERM)
                asked.add(pid)
    deadline = time.monotonic() + grace
    while asked & descendants() and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in descendants() - children.helpers():
        with suppress(OSError):
            os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def descendants() -> set[int]:
    """Numbers of the living processes below this one (Linux; elsewhere those of multiprocessing).

    Without multiprocessing's trackers, which remove what is shared when this process is gone, and then end.
    """
    if sys.platform != "linux":
        from multiprocessing import active_children

        return {child.pid for child in active_children() if child.pid is not None}
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state not in "ZX":
                below.setdefault(int(parent), []).append(int(stat.parent.name))
    found: set[int] = set()
    new = [os.getpid()]
    while new:
        for pid in below.get(new.pop(), []):
            command = b""
            with suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"resource_tracker" not in command and pid not in found:
                found.add(pid)
                new.append(pid)
    return found
