"""Who may do what now: one process computes a key, one measures time, nobody collects while a run reads."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from edgepipe.base import disk, machine_lock
from edgepipe.base.leftovers import free
from edgepipe.errors import InputError, StoreError


@contextmanager
def held(path: Path, why: str, notice: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock file; waits, saying `why`. The system drops the lock of a process that died."""
    lock = FileLock(str(path))
    try:
        try:
            lock.acquire(timeout=0.2)
        except Timeout:
            notice(f"{why}; waiting for it")
            lock.acquire()
    except OSError as error:
        if disk.full(error):
            raise
        raise InputError(f"{path}: no lock can be held there ({error.strerror or error}). Remove it") from None
    try:
        yield
    finally:
        lock.release()


class Locks:
    """The locks of one store.

    Args:
        root: the store's.
        notice: called with a sentence when something is waited for.
    """

    def __init__(self, root: Path, notice: Callable[[str], None]) -> None:
        self._folder = root / "locks"
        self._temporary = root / "tmp"
        self._root = root
        self._notice = notice
        self._noted_machine = False

    def _waiting(self, name: str, why: str) -> AbstractContextManager[None]:
        return held(self._folder / name, why, self._notice)

    def key(self, key: str, what: str) -> AbstractContextManager[None]:
        """One process computes what lies under a key."""
        return self._waiting(f"{key}.lock", f"{what}: another process is computing this")

    @contextmanager
    def machine(self) -> Iterator[None]:
        """Hold the machine for a measurement of time: two at once would spoil each other's numbers.

        One lock for all users and stores of the machine; where that cannot be had, one for this store, and a note.
        """
        with ExitStack() as stack:
            path = machine_lock.shared_folder() / machine_lock.NAME
            try:
                stack.enter_context(machine_lock.alone(path, self._notice))
            except OSError as error:
                if not self._noted_machine:
                    self._noted_machine = True
                    self._notice(
                        f"speed: {path}: cannot be used ({error.strerror or error}), so only the jobs of this store "
                        "are kept apart while time is measured. Have its owner remove it"
                    )
                why = "speed: another process is measuring with this store"
                stack.enter_context(self._waiting("latency.lock", why))
            yield

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep `gc` away while a run reads entries; waits for one that is collecting."""
        mine = self._folder / f"run-{uuid.uuid4().hex}.lock"
        lock = FileLock(str(mine))
        with self._collector():
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
            with suppress(OSError):
                mine.unlink(missing_ok=True)

    def _collector(self) -> AbstractContextManager[None]:
        return self._waiting("gc.lock", "store: another process is removing old entries")

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Remove entries while no run reads them.

        Raises:
            StoreError: a run is using the store.
        """
        with self._collector():
            running = sum(not free(path, remove=True) for path in self._folder.glob("run-*.lock"))
            if running:
                raise StoreError(f"{self._root}: {running} run(s) are using this store. Collect when they are done")
            yield

    def sweep(self) -> None:
        """Remove the locks that nobody holds; only while `collecting`.

        No run is left that could wait for them, and a new one waits for us.
        """
        for lock in [*self._folder.glob("*.lock"), *self._temporary.glob("*.lock")]:
            if lock.name != "gc.lock":
                free(lock, remove=True)
