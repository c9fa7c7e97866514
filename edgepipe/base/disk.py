"""A full or read-only place is told as what it is: which folder, how much is free, what to do."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgepipe.errors import EdgepipeError, InputError, StoreError

_NONE_LEFT = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_HARDLY = 1 << 16
"""Bytes: a place with less has failed a library that says so in words of its own, or in none."""


def full(error: BaseException) -> bool:
    """Whether an error says that a disk is full; libraries in C++ and Rust say so only in words."""
    return (isinstance(error, OSError) and error.errno in _NONE_LEFT) or "No space left on device" in str(error)


def read_only(error: BaseException) -> bool:
    """Whether an error says that a place cannot be written whoever asks."""
    return isinstance(error, OSError) and error.errno == errno.EROFS


def exhausted(place: Path) -> bool:
    """Whether hardly anything is left where a folder lies."""
    free = free_bytes(place)
    return free is not None and free < _HARDLY


def free_bytes(place: Path) -> int | None:
    """What is free where a folder lies, or will lie; None where the system does not say."""
    for folder in (place, *place.parents):
        try:
            return shutil.disk_usage(folder).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def said(key: str, place: Path) -> str:
    """The sentence for a full place that a setting names."""
    free = free_bytes(place)
    left = "" if free is None else f" ({free:,} bytes are free now)"
    return (
        f"{key}: {place}: no space left{left}. Finished steps are kept; free some space or choose another place with "
        f"{key}=DIR, then run the same command again"
    )


def which(error: BaseException, places: Mapping[str, Path]) -> str:
    """The sentence for the place that an error of a full disk means.

    Args:
        places: setting to folder; the temporary folder counts too.
    """
    known = {**places, "TMPDIR": Path(tempfile.gettempdir())}
    named = getattr(error, "filename", None)
    if isinstance(named, (str, bytes)):
        path = Path(os.fsdecode(named)).absolute()
        inside = [key for key, place in known.items() if path.is_relative_to(place.absolute())]
        if inside:
            key = max(inside, key=lambda item: len(known[item].absolute().parts))
            return said(key, known[key])
    key = min(known, key=lambda item: free_bytes(known[item]) or 0)
    return said(key, known[key])


@contextmanager
def kept_in(key: str, place: Path) -> Iterator[None]:
    """Writing into a folder that a setting names.

    Raises:
        StoreError: the folder is full.
    """
    try:
        yield
    except EdgepipeError:
        raise
    except Exception as error:
        if full(error):
            raise StoreError(said(key, place)) from error
        raise


def refuse_unwritable(key: str, folder: Path, remedy: str) -> None:
    """Before hours of work whose result would have no place; nothing is made or left.

    Raises:
        InputError: the folder, or the one it will be made in, cannot be written.
    """
    there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), folder)
    probe = there / f".edgepipe-{uuid.uuid4().hex}"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise InputError(f"{key}: {folder} cannot be written ({error.strerror or error}). {remedy}") from None
