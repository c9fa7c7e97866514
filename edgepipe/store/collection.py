"""What lies in a store, whether it is whole, and what may go."""

from __future__ import annotations

import re
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgepipe.base.files import read_json
from edgepipe.base.leftovers import free
from edgepipe.store.keys import RECORD
from edgepipe.store.store import Store

_OURS = re.compile(
    r"[0-9a-f]{40}(-[0-9a-f]{8})?|([a-z]+-)?[0-9a-f]{32}(\.lock)?|\.?[a-z0-9_]+-[0-9a-f]{24}\..+|.+\.lock", re.ASCII
)
"""Names that the store gives: keys, workspaces, hashes of files. What is named otherwise is left where it is."""


@dataclass(frozen=True)
class Room:
    """Something in the store that can be removed as a whole."""

    room: str
    path: Path
    size_bytes: int
    used: float
    """Seconds since 1970 of the last use."""

    def named(self) -> tuple[str, str]:
        """(pass, label) of a step, "?" where its record cannot be read; two empty texts of everything else."""
        if self.room != "steps":
            return "", ""
        try:
            record = read_json(self.path / RECORD)
            return str(record["key"]["pass"]), str(record.get("label", ""))
        except (OSError, ValueError, KeyError, TypeError):
            return "?", ""


def rooms(root: Path) -> list[Room]:
    """Everything that can be removed, least recently used first."""
    found = []
    for room in ("steps", "measurements", "state", "cache"):
        for path in _own(root / room):
            with suppress(OSError):  # moved by a process that runs meanwhile
                files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
                sizes = [item.stat() for item in files]
                marker = path / RECORD
                newest = max((s.st_mtime for s in sizes), default=path.stat().st_mtime)
                used = marker.stat().st_mtime if marker.is_file() else newest
                found.append(Room(room, path, sum(s.st_size for s in sizes), used))
    return sorted(found, key=lambda item: (item.used, item.path.name))


def verify(store: Store) -> tuple[int, list[str]]:
    """Read every entry against its digests; the number of good ones, and a sentence per damaged one."""
    before = dict(store.damaged)
    good = 0
    with store.in_use():
        for path in sorted(_own(store.root / "steps")):
            good += store.find(path.name, use=False) is not None
        for path in sorted(_own(store.root / "measurements")):
            good += store.find_measurement(path.name, use=False) is not None
    return good, [why for key, why in store.damaged.items() if key not in before]


def collect(store: Store, keep_bytes: int, *, dry_run: bool = False) -> list[Room]:
    """Remove what dead processes and damage left, then the least recently used until `keep_bytes` remain.

    Returns:
        What was removed (or would be).
    Raises:
        StoreError: a run is using the store.
    """
    store.refuse_to_write("nothing can be removed from it")
    root = store.root
    with store.locks.collecting():
        removed = [
            Room("left over", path, _size(path), path.stat().st_mtime)
            for path in [*_own(root / "tmp"), *_own(root / "damaged")]
            if path.suffix != ".lock" and free(Path(f"{path}.lock"))
        ]
        kept = rooms(root)
        total = sum(room.size_bytes for room in kept)
        for room in kept:
            if total <= keep_bytes:
                break
            removed.append(room)
            total -= room.size_bytes
        if not dry_run:
            for room in removed:
                _remove(root, room.path)
            store.locks.sweep()
    return removed


def _own(folder: Path) -> list[Path]:
    """What the store itself put into one of its rooms."""
    return [path for path in folder.iterdir() if _OURS.fullmatch(path.name)] if folder.is_dir() else []


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(item.stat().st_size for item in files if item.is_file())


def _remove(root: Path, path: Path) -> None:
    grave = root / "tmp" / f"gone-{uuid.uuid4().hex}"
    path.replace(grave)  # whole or gone for every reader
    if grave.is_dir():
        shutil.rmtree(grave, ignore_errors=True)
    else:
        grave.unlink(missing_ok=True)
    Path(f"{path}.lock").unlink(missing_ok=True)
