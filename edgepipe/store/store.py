"""Content-addressed store: every finished step and measurement, kept under a key over all it depends on.

    ROOT/steps/<key>/artifact/…      a sealed artifact
    ROOT/steps/<key>/record.json     seconds it took, what the pass found out, what the key was made of
    ROOT/measurements/<key>/…        measured.json, the answers on the evaluation examples, what the key was made of
    ROOT/state/<key>/…               resumable state of a step that is not finished
    ROOT/cache/…                     hashes of the user's files
    ROOT/tmp/…                       what is being written now, each with the lock of its owner
    ROOT/damaged/…                   entries set aside because their digests did not match

An entry is written to a temporary folder and renamed, so it is whole or absent; every read verifies
digests. A file lock per key makes parallel runs compute a step once.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edgepipe.base import disk
from edgepipe.base.files import flush, is_folder
from edgepipe.base.leftovers import take_away
from edgepipe.base.marks import claim
from edgepipe.base.scratch import owned, scratch
from edgepipe.contract.artifact import Artifact, canonical_json, open_artifact, refuse_strangers
from edgepipe.errors import InputError, StoreError
from edgepipe.store.keys import KEY, RECORD, digests, read_sealed, refuse_damaged, sealed
from edgepipe.store.locks import Locks
from edgepipe.store.why import why_missing, why_not_measured

Content = TypeVar("Content")
_ROOMS = ("steps", "measurements", "state", "cache", "tmp", "locks")


def _older(root: Path) -> bool:
    """A store that an earlier version made, which left no mark."""
    return all((root / room).is_dir() for room in _ROOMS)


def _refuse_links(root: Path) -> None:
    """Rooms are real folders: what is removed from one would else be somebody's own, elsewhere."""
    for room in (*_ROOMS, "damaged"):
        path = root / room
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise InputError(
                f"store.root: {path}: a link or a file, where the store has a folder of its own, from which it removes "
                "what is old. Remove it, or name another folder with store.root=DIR"
            )


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
        InputError: the folder holds what is no store of edgepipe, or one of its rooms is a link to elsewhere.
        InputError: the folder cannot be created or written, and holds nothing to read.
    """

    def __init__(self, root: Path, notice: Callable[[str], None] = lambda _: None) -> None:
        self.root = root.absolute()
        self.notice = notice
        self.damaged: dict[str, str] = {}
        """Why an entry was found damaged, by its key."""
        self.locks = Locks(self.root, notice)
        self._passing: Path | None = None
        self.unwritable: str | None = None
        """Why nothing can be kept here, in the system's words; what is kept already can be read."""
        try:
            claim(self.root, "store", "store.root", _older)
            _refuse_links(self.root)
            for room in _ROOMS:
                (self.root / room).mkdir(parents=True, exist_ok=True)
            probe = self.root / "tmp" / f"probe-{uuid.uuid4().hex}"
            probe.write_bytes(b"")
            probe.unlink(missing_ok=True)
        except OSError as error:
            self.unwritable = error.strerror or str(error)
            if not is_folder(self.root / "steps", "store.root"):
                raise InputError(
                    f"store.root: {self.root} cannot be written ({self.unwritable}). "
                    "Choose a writable folder with store.root=DIR"
                ) from error
            notice(f"store.root: {self.root} can only be read ({self.unwritable}): what it holds is reused")
            return
        take_away(self.root)

    def refuse_to_write(self, what: str) -> None:
        """Before work whose result would have no place.

        Raises:
            StoreError: nothing can be kept here; says why, and `what`.
        """
        if self.unwritable is not None:
            raise StoreError(
                f"store.root: {self.root} can only be read ({self.unwritable}), and {what}. "
                "Choose a writable folder with store.root=DIR"
            )

    @property
    def cache(self) -> Path:
        """Folder for hashes of the user's files and decoded arrays; of a store that can only be read, a passing one."""
        if self.unwritable is None:
            return self.root / "cache"
        if self._passing is None:
            stack = ExitStack()
            self._passing = stack.enter_context(scratch("cache"))
            atexit.register(stack.close)
        return self._passing

    @contextmanager
    def state(self, key: str) -> Iterator[Path]:
        """Folder of a step's resumable state, kept until the step is committed; one that stays empty goes at once."""
        folder = self.root / "state" / key
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield folder
        finally:
            with suppress(OSError):  # not empty, or committed
                folder.rmdir()

    @contextmanager
    def lock(self, key: str, what: str) -> Iterator[None]:
        """Hold the key's lock; waits, saying so. The system drops the lock of a process that died."""
        self.refuse_to_write(f"the result of '{what}' is not in it")
        with self.locks.key(key, what):
            yield

    def machine(self) -> AbstractContextManager[None]:
        """Hold the machine for a measurement of time: two at once would spoil each other's numbers."""
        return self.locks.machine()

    def in_use(self) -> AbstractContextManager[None]:
        """Keep `collect` away while a run reads entries; waits for one that is collecting."""
        if self.unwritable is not None:  # nor can anybody collect here
            return nullcontext()
        return self.locks.in_use()

    def find(self, key: str, *, use: bool = True) -> Entry | None:
        """The verified entry of a key, or None. A damaged one is reported and set aside.

        Args:
            use: whether this counts as a use, which keeps the entry longer.
        """
        folder = self.root / "steps" / key
        if not folder.is_dir():
            return None
        try:
            record = read_sealed(folder / RECORD)
            artifact = open_artifact(folder / "artifact")
            refuse_strangers(artifact)
            beside = sorted({path.name for path in folder.iterdir()} - {RECORD, "artifact"})
            if beside:
                raise StoreError(f"{folder / beside[0]}: damaged: nothing of edgepipe's lies beside an artifact")
            if artifact.digest != record["digest"]:
                raise StoreError(f"{folder}: the manifest is not the one that was stored")
            entry = Entry(artifact, float(record["seconds"]), dict(record["facts"]))
        except (StoreError, OSError, ValueError, KeyError, TypeError) as error:
            self._set_aside(folder, str(error))
            return None
        if use:
            _touch(folder / RECORD)
        return entry

    def why_missing(self, key: str, parts: Mapping[str, Any]) -> list[str]:
        """What differs from the nearest stored result of the same pass, in words; for a key that is not stored."""
        if key in self.damaged:
            return [f"the stored result was damaged: {self.damaged[key]}"]
        return why_missing(self.root, parts)

    def why_not_measured(self, key: str, parts: Mapping[str, Any]) -> list[str]:
        """What differs from the nearest stored measurement, of the same model if there is one, in words."""
        if key in self.damaged:
            return [f"the stored measurement was damaged: {self.damaged[key]}"]
        return why_not_measured(self.root, parts)

    def find_measurement(self, key: str, *, use: bool = True) -> Path | None:
        """The folder of a stored measurement, digests verified, or None; `use` as in `find`."""
        folder = self.root / "measurements" / key
        if not folder.is_dir():
            return None
        try:
            refuse_damaged(folder)
        except (StoreError, OSError, ValueError, AttributeError) as error:
            self._set_aside(folder, str(error))
            return None
        if use:
            _touch(folder / RECORD)
        return folder

    def read_measurement(self, key: str, read: Callable[[Path], Content]) -> Content | None:
        """What `read` makes of a stored measurement, or None; one that it cannot read is set aside as damaged.

        Digests say that files are as they were sealed, not that edgepipe sealed them.
        """
        folder = self.find_measurement(key)
        if folder is None:
            return None
        try:
            return read(folder)
        except Exception as error:  # whatever somebody else's files make of a reader
            said = (str(error).strip() or type(error).__name__).replace("\n", " ")[:200]
            self._set_aside(folder, f"{folder}: damaged: it does not hold what edgepipe measures: {said}")
            return None

    def _set_aside(self, folder: Path, why: str) -> None:
        if self.unwritable is not None:
            self.damaged[folder.name] = why
            self.notice(f"{why}. The store can only be read, so the entry stays where it is")
            return
        place = self.root / "damaged" / f"{folder.name}-{uuid.uuid4().hex[:8]}"
        place.parent.mkdir(exist_ok=True)
        self.damaged[folder.name] = why
        try:
            folder.replace(place)
        except FileNotFoundError:  # another process met the same damage first
            return
        self.notice(f"{why}. The entry was moved to {place} and is computed again")

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A temporary folder inside the store, so that a rename can commit it; removed in any case.

        Raises:
            StoreError: the disk is full or the folder cannot be written.
        """
        try:
            with owned(self.root / "tmp" / uuid.uuid4().hex) as folder:
                yield folder
        except Exception as error:
            if isinstance(error, StoreError):
                raise
            if disk.full(error):
                raise StoreError(disk.which(error, {"store.root": self.root})) from error
            if disk.exhausted(self.root):
                raise StoreError(disk.said("store.root", self.root)) from error
            if disk.read_only(error):
                raise StoreError(
                    f"store.root: {self.root} can only be read. Choose a writable folder with store.root=DIR"
                ) from error
            raise

    def commit_step(self, key: str, work: Path, artifact: Artifact, record: Mapping[str, Any]) -> Entry:
        """Move a finished step (`work/artifact`) into the store under its key."""
        text = json.dumps(sealed({**record, "digest": artifact.digest}), sort_keys=True, indent=1)
        (work / RECORD).write_text(text, encoding="utf-8")
        target = self.root / "steps" / key
        mine = self._rename(work, target)
        shutil.rmtree(self.root / "state" / key, ignore_errors=True)
        if not mine:  # the artifact there may be another one: training is not the same to the bit on every machine
            entry = self.find(key)
            if entry is None:
                raise StoreError(f"{target}: another process stored a damaged result. Run the same command again")
            return entry
        moved = Artifact(target / "artifact", artifact.manifest, artifact.digest)
        return Entry(moved, float(record["seconds"]), dict(record["facts"]))

    def commit_measurement(self, key: str, work: Path, parts: Mapping[str, Any]) -> Path:
        """Move the files of a measurement into the store, with their digests and what the key was made of."""
        (work / KEY).write_text(canonical_json(parts), encoding="utf-8")
        (work / RECORD).write_text(json.dumps(digests(work)), encoding="utf-8")
        target = self.root / "measurements" / key
        self._rename(work, target)
        return target

    def _rename(self, work: Path, target: Path) -> bool:
        """Commit a folder; whether it was ours, and not one that a process without our locks (network drives) put."""
        for path in [*work.rglob("*"), work]:
            flush(path)
        try:
            work.replace(target)
        except OSError:
            if not target.exists():
                raise
            return False
        flush(target.parent)
        return True


def _touch(path: Path) -> None:
    with suppress(OSError):  # a store that is only readable still serves
        os.utime(path, (time.time(), time.time()))
