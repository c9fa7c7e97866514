"""Temporary folders whose owner holds a lock: what a killed process left, the next one takes away.

A folder `edgepipe-WHAT-xxxx` lies in the system's temporary folder beside `edgepipe-WHAT-xxxx.lock`. The lock is made
and held before the folder is made, and the system drops it when its owner dies: a number of a process, which another
one may have by now, is never asked.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from edgepipe.base import disk
from edgepipe.errors import StoreError

_PREFIX = "edgepipe-"
_mine: set[Path] = set()


@contextmanager
def scratch(what: str) -> Iterator[Path]:
    """A temporary folder, removed in any case.

    Raises:
        StoreError: there is no room in it.
    """
    base = Path(tempfile.gettempdir())
    try:
        with owned(base / f"{_PREFIX}{what}-{uuid.uuid4().hex[:12]}", 0o700) as folder:
            try:
                yield folder
            except StoreError:
                raise
            except Exception as error:
                if (disk.full(error) and _meant(error, base)) or disk.exhausted(base):
                    raise StoreError(disk.said("TMPDIR", base)) from error
                raise
    except OSError as error:
        if disk.full(error) and _meant(error, base):
            raise StoreError(disk.said("TMPDIR", base)) from error
        raise


def _meant(error: BaseException, base: Path) -> bool:
    """Whether a full disk is the temporary folder's: by the name of the file, else by what is left there."""
    named = getattr(error, "filename", None)
    if isinstance(named, (str, bytes)):
        return Path(os.fsdecode(named)).absolute().is_relative_to(base.absolute())
    return disk.exhausted(base)


@contextmanager
def owned(folder: Path, mode: int = 0o777) -> Iterator[Path]:
    """Make a folder that `take_away` leaves alone while this process lives; removed at the end with its lock."""
    lock = FileLock(f"{folder}.lock")
    lock.acquire()
    while not Path(lock.lock_file).exists():  # `take_away` found it between its being made and being held
        lock.release()
        lock.acquire()
    try:
        _mine.add(folder)
        folder.mkdir(mode=mode)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _mine.discard(folder)
        with suppress(OSError):  # while it is held: whoever opened it meanwhile finds it gone and looks again
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def remove_mine() -> None:
    """Before this process ends without going back through its blocks."""
    for folder in list(_mine):
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            Path(f"{folder}.lock").unlink(missing_ok=True)


def take_away(base: Path, pattern: str) -> None:
    """Remove the folders of `base` whose owners are dead; another user's, and what has no lock, stay."""
    with suppress(OSError):
        for lock in base.glob(f"{pattern}.lock"):
            with suppress(OSError):
                if not hasattr(os, "getuid") or lock.lstat().st_uid == os.getuid():
                    _take(lock)


def _take(path: Path) -> None:
    held = FileLock(str(path))
    try:
        held.acquire(timeout=0)
    except Timeout:
        return
    try:
        folder = path.with_suffix("")
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():  # what is left of it keeps its lock, and goes the next time
            path.unlink(missing_ok=True)
    finally:
        held.release()


def take_away_temporary() -> None:
    """What killed processes of this user left in the system's temporary folder."""
    take_away(Path(tempfile.gettempdir()), f"{_PREFIX}*-*")
