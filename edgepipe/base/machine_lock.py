"""One measurement of time on a machine at once, whoever runs it and whatever the store.

The lock is a file that every user of the machine can open: in /tmp whatever TMPDIR says, which may be one
user's own. Anybody may have put something else in its place there: so links are not followed, only a plain
file counts, an existing one is opened for reading and never written, and one that another process has
replaced since is not taken. The system drops the lock of a process that died.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "edgepipe-latency.lock"
_QUIET_SECONDS = 0.2
_POLL_SECONDS = 0.1
_MOST_SECONDS = 1800.0
"""A process that was stopped while it held the lock, perhaps another user's, must not stop everybody for good."""


def shared_folder() -> Path:
    """Where every user of the machine may put a file; on Windows the folder is the user's own."""
    common = Path("/tmp")
    return common if os.name == "posix" and common.is_dir() else Path(tempfile.gettempdir())


@contextmanager
def alone(path: Path, notice: Callable[[str], None]) -> Iterator[None]:
    """Hold the machine; waits, saying so.

    Raises:
        OSError: the lock file cannot be used: another user's that may not be read, a link, no file at all.
    """
    descriptor = _waited(path, notice)
    try:
        yield
    finally:
        if descriptor is not None:
            _unlock(descriptor)
            os.close(descriptor)


def _waited(path: Path, notice: Callable[[str], None]) -> int | None:
    """The locked file's descriptor; None when the wait was given up."""
    began = time.monotonic()
    told = False
    while True:
        descriptor = _open(path)
        try:
            if _lock(descriptor) and _is_at(descriptor, path):
                return descriptor
        except FileNotFoundError:
            pass  # removed since it was opened: the next one is looked for
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        waited = time.monotonic() - began
        if waited > _MOST_SECONDS:
            notice(f"speed: {path} has been held for {_MOST_SECONDS / 60:.0f} minutes; measuring all the same")
            return None
        if waited > _QUIET_SECONDS and not told:
            told = True
            notice("speed: another process is measuring on this machine; waiting for it")
        time.sleep(_POLL_SECONDS)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the path still means the open file; Windows lets nobody remove one that is open."""
    return sys.platform == "win32" or os.path.samestat(os.fstat(descriptor), path.lstat())


def _open(path: Path) -> int:
    # Not to wait for the other end, should it be a pipe.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    for last in (False, False, False, True):
        try:
            try:
                descriptor = os.open(path, flags)
            except FileNotFoundError:
                descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
                if hasattr(os, "fchmod"):
                    os.fchmod(descriptor, 0o644)  # whatever the umask: another user has to open it to wait for it
            break
        except (FileExistsError, PermissionError):  # it is being made by another process at this moment
            if last:
                raise
            time.sleep(_POLL_SECONDS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileExistsError(17, "not a plain file", str(path))
    return descriptor


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
