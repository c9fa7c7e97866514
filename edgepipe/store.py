"""Content-addressed store: every finished step and measurement, kept under a key over all it depends on.

    ROOT/steps/<key>/artifact/…      a sealed artifact
    ROOT/steps/<key>/record.json     seconds it took, what the pass found out, what the key was made of
    ROOT/measurements/<key>/…        measured.json and the answers on the evaluation examples
    ROOT/state/<key>/…               resumable state of a step that is not finished
    ROOT/cache/…                     hashes of the user's files
    ROOT/damaged/…                   entries set aside because their digests did not match

An entry is written to a temporary folder and renamed, so it is whole or absent; every read verifies
digests. A file lock per key makes parallel runs compute a step once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from edgepipe.artifact import Artifact, canonical_json, open_artifact
from edgepipe.errors import StoreError

RECORD = "record.json"


def key_of(parts: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of everything a result depends on; short enough for any file system."""
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Entry:
    """A stored step: its artifact, and what was recorded beside it."""

    artifact: Artifact
    seconds: float
    facts: dict[str, Any]


class Store:
    """The store under one root folder; may be shared by several processes and checkouts.

    Args:
        root: folder, created when missing.
        notice: called with a sentence when something is worth telling (a wait, a damaged entry).
    Raises:
        StoreError: the folder cannot be created or written.
    """

    def __init__(self, root: Path, notice: Callable[[str], None] = lambda _: None) -> None:
        self.root = root.absolute()
        self.notice = notice
        try:
            for room in ("steps", "measurements", "state", "cache", "tmp", "locks"):
                (self.root / room).mkdir(parents=True, exist_ok=True)
            probe = self.root / "tmp" / f"probe-{uuid.uuid4().hex}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"store.root: {self.root} cannot be written ({error.strerror or error}). "
                "Choose a writable folder with store.root=DIR"
            ) from error

    @property
    def cache(self) -> Path:
        """Folder for hashes of the user's files and decoded arrays."""
        return self.root / "cache"

    def state(self, key: str) -> Path:
        """Folder of a step's resumable state, kept until the step is committed."""
        folder = self.root / "state" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def lock(self, key: str, what: str) -> Iterator[None]:
        """Hold the key's lock; waits, saying so. The system drops the lock of a process that died."""
        lock = FileLock(str(self.root / "locks" / f"{key}.lock"))
        try:
            lock.acquire(timeout=0.2)
        except Timeout:
            self.notice(f"{what}: another process is computing this; waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def find(self, key: str) -> Entry | None:
        """The verified entry of a key, or None. A damaged one is reported and set aside."""
        folder = self.root / "steps" / key
        if not folder.is_dir():
            return None
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            artifact = open_artifact(folder / "artifact")
            if artifact.digest != record["digest"]:
                raise StoreError(f"{folder}: the manifest is not the one that was stored")
            return Entry(artifact, float(record["seconds"]), dict(record["facts"]))
        except (StoreError, OSError, ValueError, KeyError, TypeError) as error:
            self._set_aside(folder, str(error))
            return None

    def find_measurement(self, key: str) -> Path | None:
        """The folder of a stored measurement, digests verified, or None."""
        folder = self.root / "measurements" / key
        if not folder.is_dir():
            return None
        try:
            sums = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            for name, sha256 in sums.items():
                if hashlib.sha256((folder / name).read_bytes()).hexdigest() != sha256:
                    raise StoreError(f"{folder / name}: damaged: its content does not match its SHA-256")
            return folder
        except (StoreError, OSError, ValueError, AttributeError) as error:
            self._set_aside(folder, str(error))
            return None

    def _set_aside(self, folder: Path, why: str) -> None:
        place = self.root / "damaged" / f"{folder.name}-{uuid.uuid4().hex[:8]}"
        place.parent.mkdir(exist_ok=True)
        folder.replace(place)
        self.notice(f"{why}. The entry was moved to {place} and is computed again")

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A temporary folder inside the store, so that a rename can commit it; removed in any case.

        Raises:
            StoreError: the disk is full or the folder cannot be written.
        """
        folder = self.root / "tmp" / uuid.uuid4().hex
        try:
            folder.mkdir(parents=True)
            yield folder
        except OSError as error:
            if error.errno in (28, 122, 30):  # ENOSPC, EDQUOT, EROFS
                raise StoreError(
                    f"{self.root}: {error.strerror}. Finished steps are kept; free some space or choose "
                    "another place with store.root=DIR, then run the same command again"
                ) from error
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit_step(self, key: str, work: Path, artifact: Artifact, record: Mapping[str, Any]) -> Entry:
        """Move a finished step (`work/artifact`) into the store under its key."""
        text = json.dumps({**record, "digest": artifact.digest}, sort_keys=True, indent=1)
        (work / RECORD).write_text(text, encoding="utf-8")
        target = self._rename(work, self.root / "steps" / key)
        shutil.rmtree(self.root / "state" / key, ignore_errors=True)
        moved = Artifact(target / "artifact", artifact.manifest, artifact.digest)
        return Entry(moved, float(record["seconds"]), dict(record["facts"]))

    def commit_measurement(self, key: str, work: Path) -> Path:
        """Move the files of a measurement into the store, with their digests."""
        sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(work.iterdir())}
        (work / RECORD).write_text(json.dumps(sums), encoding="utf-8")
        return self._rename(work, self.root / "measurements" / key)

    def _rename(self, work: Path, target: Path) -> Path:
        for path in work.rglob("*"):
            if path.is_file():
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
        if target.exists():  # committed meanwhile by a process that does not share our locks (network drives)
            return target
        work.replace(target)
        if os.name == "posix":
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return target
