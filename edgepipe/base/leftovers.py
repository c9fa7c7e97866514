"""What killed processes left in a store and in the temporary folder; the next command takes it away.

A lock that the system drops with its owner says whose a thing is. So nothing of a living process goes, on this machine
or, where the drive carries locks, on another one.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from edgepipe.base import scratch

_OLD_SECONDS = 3600.0
"""Small files without a lock are written in moments."""


def free(path: Path, *, remove: bool = False) -> bool:
    """Whether nobody holds a lock file; a missing one is free."""
    if not path.exists():
        return True
    lock = FileLock(str(path))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    try:
        if remove:
            path.unlink(missing_ok=True)
    finally:
        lock.release()
    return True


def take_away(root: Path) -> None:
    """Remove a store's workspaces and marks of use whose owners are dead; what cannot be removed stays."""
    scratch.take_away_temporary()
    scratch.take_away(root / "tmp", "[0-9a-f]" * 32)
    old = time.time() - _OLD_SECONDS
    for path in [*(root / "tmp").glob("probe-*"), *(root / "cache").glob(".*.part")]:
        with suppress(OSError):
            if path.stat().st_mtime < old:
                path.unlink(missing_ok=True)
    gate = FileLock(str(root / "locks" / "gc.lock"))
    with suppress(OSError, Timeout):  # somebody collects, or begins to use the store
        gate.acquire(timeout=0)
        try:
            for path in (root / "locks").glob("run-*.lock"):
                with suppress(OSError):
                    free(path, remove=True)
            for grave in (root / "tmp").glob("gone-*"):  # of a collection that was killed
                shutil.rmtree(grave, ignore_errors=True)
                with suppress(OSError):
                    grave.unlink(missing_ok=True)
        finally:
            gate.release()
