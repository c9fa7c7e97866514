"""Content hashes remembered between runs, under a stamp (sizes and times) that says whether they still hold."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from edgepipe.base.files import read_json, replacing

VERSION = 2
_MOST = 512 << 20
"""Bytes; a picture in a folder takes about 140, one in an archive about 100: ImageNet has 1.3 million."""


def stamp(path: Path) -> list[int]:
    """[size in bytes, mtime in ns, ctime in ns] of a file.

    The last one, because copying tools and clocks that are set back leave or give an old mtime to new content.
    """
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def cache_file(cache: Path, what: str, path: Path) -> Path:
    """Where hashes of `path` are kept: one file per absolute path."""
    name = hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return cache / f"{what}-{name}.json"


def recall(file: Path) -> Any:
    """What `remember` wrote, or None when there is nothing usable."""
    try:
        content = read_json(file, _MOST)
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("version") != VERSION:
        return None
    return content.get("value")


def remember(file: Path, value: object) -> None:
    """Write atomically. A folder that cannot be written costs the next run time, and is no error."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as new:
            new.write_text(json.dumps({"version": VERSION, "value": value}), encoding="utf-8")
