"""What a result is kept under, and the digests that say whether it is still what was kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepipe.base.files import read_json
from edgepipe.contract.artifact import canonical_json
from edgepipe.errors import StoreError

RECORD = "record.json"
"""In a step's folder: what was recorded. In a measurement's: the digests of the files beside it."""
KEY = "key.json"
"""In a measurement's folder: what its key was made of."""


def key_of(parts: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of everything a result depends on; short enough for any file system."""
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:40]


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A step's record with its own SHA-256 in it."""
    return {**record, "sha256": key_of(record)}


def read_sealed(path: Path) -> dict[str, Any]:
    """A step's record, held against its own SHA-256."""
    record = read_json(path)
    sha256 = record.pop("sha256")
    if key_of(record) != sha256:
        raise StoreError(f"{path}: damaged: its content does not match its SHA-256")
    return dict(record)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder, but of the record that will hold them."""
    files = [path for path in sorted(folder.iterdir()) if path.name != RECORD]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def refuse_damaged(folder: Path) -> None:
    """Hold the files of a measurement against their digests.

    Raises:
        StoreError: one is missing, too much, or changed.
        OSError, ValueError, AttributeError: the digests cannot be read.
    """
    sums = read_json(folder / RECORD)
    if set(sums) != {path.name for path in folder.iterdir()} - {RECORD}:
        raise StoreError(f"{folder / RECORD}: damaged: it does not name the files beside it")
    for name, sha256 in sums.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != sha256:
            raise StoreError(f"{folder / name}: damaged: its content does not match its SHA-256")
