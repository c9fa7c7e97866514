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
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from edgepipe.base import disk, machine_lock
from edgepipe.base.files import is_folder, read_json
from edgepipe.base.leftovers import free, take_away
from edgepipe.base.marks import claim
from edgepipe.base.scratch import owned, scratch
from edgepipe.contract.artifact import Artifact, canonical_json, open_artifact, refuse_strangers
from edgepipe.errors import InputError, StoreError

Content = TypeVar("Content")
RECORD = "record.json"
_KEY = "key.json"
_ROOMS = ("steps", "measurements", "state", "cache", "tmp", "locks")
_OURS = re.compile(
    r"[0-9a-f]{40}(-[0-9a-f]{8})?|([a-z]+-)?[0-9a-f]{32}(\.lock)?|[a-z0-9_]+-[0-9a-f]{24}\..+|.+\.lock", re.ASCII
)
"""Names that the store gives: keys, workspaces, hashes of files. What is named otherwise is left where it is."""


def _older(root: Path) -> bool:
    """A store that an earlier version made, which left no mark."""
    return all((root / room).is_dir() for room in _ROOMS)


def _own(folder: Path) -> list[Path]:
    """What the store itself put into one of its rooms."""
    return [path for path in folder.iterdir() if _OURS.fullmatch(path.name)] if folder.is_dir() else []


def _refuse_links(root: Path) -> None:
    """Rooms are real folders: what is removed from one would else be somebody's own, elsewhere."""
    for room in (*_ROOMS, "damaged"):
        path = root / room
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise InputError(
                f"store.root: {path}: a link or a file, where the store has a folder of its own, from which it removes "
                "what is old. Remove it, or name another folder with store.root=DIR"
            )


def key_of(parts: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of everything a result depends on; short enough for any file system."""
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Entry:
    """A stored step: its artifact, and what was recorded beside it."""

    artifact: Artifact
    seconds: float
    facts: dict[str, Any]


@dataclass(frozen=True)
class Room:
    """Something in the store that can be removed as a whole."""

    room: str
    path: Path
    size_bytes: int
    used: float
    """Seconds since 1970 of the last use."""


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
        self._damaged: dict[str, str] = {}
        self._noted_machine = False
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

    def _refuse_to_write(self, what: str) -> None:
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
        self._refuse_to_write(f"the result of '{what}' is not in it")
        with self._waiting(self.root / "locks" / f"{key}.lock", f"{what}: another process is computing this"):
            yield

    @contextmanager
    def machine(self) -> Iterator[None]:
        """Hold the machine for a measurement of time: two at once would spoil each other's numbers.

        One lock for all users and stores of the machine; where that cannot be had, one for this store, and a note.
        """
        with ExitStack() as stack:
            path = machine_lock.shared_folder() / machine_lock.NAME
            try:
                stack.enter_context(machine_lock.alone(path, self.notice))
            except OSError as error:
                if not self._noted_machine:
                    self._noted_machine = True
                    self.notice(
                        f"speed: {path}: cannot be used ({error.strerror or error}), so only the jobs of this store "
                        "are kept apart while time is measured. Have its owner remove it"
                    )
                own = self.root / "locks" / "latency.lock"
                stack.enter_context(self._waiting(own, "speed: another process is measuring with this store"))
            yield

    def _waiting(self, path: Path, why: str) -> AbstractContextManager[None]:
        return held(path, why, self.notice)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep `gc` away while a run reads entries; waits for one that is collecting."""
        if self.unwritable is not None:  # nor can anybody collect here
            yield
            return
        mine = self.root / "locks" / f"run-{uuid.uuid4().hex}.lock"
        lock = FileLock(str(mine))
        with self._waiting(self.root / "locks" / "gc.lock", "store: another process is removing old entries"):
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
            with suppress(OSError):
                mine.unlink(missing_ok=True)

    def find(self, key: str, *, use: bool = True) -> Entry | None:
        """The verified entry of a key, or None. A damaged one is reported and set aside.

        Args:
            use: whether this counts as a use, which keeps the entry longer.
        """
        folder = self.root / "steps" / key
        if not folder.is_dir():
            return None
        try:
            record = _read_record(folder / RECORD)
            artifact = open_artifact(folder / "artifact")
            refuse_strangers(artifact)
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
        if key in self._damaged:
            return [f"the stored result was damaged: {self._damaged[key]}"]
        known = ((path, content.get("key")) for path, content in self._contents(f"steps/*/{RECORD}"))
        same = [(path, _leaves(item)) for path, item in known if item and item.get("pass") == parts["pass"]]
        differing = _differing(same, _leaves(parts))
        if differing is None:
            return ["no result of this pass is stored"]
        return [_difference(name, old, new, _STEP) for name, old, new in differing]

    def why_not_measured(self, key: str, parts: Mapping[str, Any]) -> list[str]:
        """What differs from the nearest stored measurement, of the same model if there is one, in words."""
        if key in self._damaged:
            return [f"the stored measurement was damaged: {self._damaged[key]}"]
        known = ((path, item) for path, item in self._contents(f"measurements/*/{_KEY}") if item.keys() == parts.keys())
        differing = _differing([(path, _leaves(item)) for path, item in known], _leaves(parts), first="artifact")
        if differing is None:
            return [_MEASUREMENT["artifact"]]
        new = any(name == "artifact" for name, _, _ in differing)
        return [
            _difference(name, old, now, _MEASUREMENT)
            for name, old, now in differing
            if not (new and name == "baseline")  # what another model was compared with says nothing of this one
        ]

    def _contents(self, pattern: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The JSON files that a pattern finds, without those that are damaged or just removed."""
        for path in self.root.glob(pattern):
            with suppress(OSError, ValueError):
                content = read_json(path)
                if isinstance(content, dict):
                    yield path, content

    def find_measurement(self, key: str, *, use: bool = True) -> Path | None:
        """The folder of a stored measurement, digests verified, or None; `use` as in `find`."""
        folder = self.root / "measurements" / key
        if not folder.is_dir():
            return None
        try:
            sums = read_json(folder / RECORD)
            if set(sums) != {path.name for path in folder.iterdir()} - {RECORD}:
                raise StoreError(f"{folder / RECORD}: damaged: it does not name the files beside it")
            for name, sha256 in sums.items():
                if hashlib.sha256((folder / name).read_bytes()).hexdigest() != sha256:
                    raise StoreError(f"{folder / name}: damaged: its content does not match its SHA-256")
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
            self._damaged[folder.name] = why
            self.notice(f"{why}. The store can only be read, so the entry stays where it is")
            return
        place = self.root / "damaged" / f"{folder.name}-{uuid.uuid4().hex[:8]}"
        place.parent.mkdir(exist_ok=True)
        self._damaged[folder.name] = why
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
        content = {**record, "digest": artifact.digest}
        text = json.dumps({**content, "sha256": key_of(content)}, sort_keys=True, indent=1)
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
        (work / _KEY).write_text(canonical_json(parts), encoding="utf-8")
        sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(work.iterdir())}
        (work / RECORD).write_text(json.dumps(sums), encoding="utf-8")
        target = self.root / "measurements" / key
        self._rename(work, target)
        return target

    def _rename(self, work: Path, target: Path) -> bool:
        """Commit a folder; whether it was ours, and not one that a process without our locks (network drives) put."""
        for path in [*work.rglob("*"), work]:
            _flush(path)
        try:
            work.replace(target)
        except OSError:
            if not target.exists():
                raise
            return False
        _flush(target.parent)
        return True

    def rooms(self) -> list[Room]:
        """Everything that can be removed, least recently used first."""
        found = []
        for room in ("steps", "measurements", "state", "cache"):
            for path in _own(self.root / room):
                with suppress(OSError):  # moved by a process that runs meanwhile
                    files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
                    sizes = [item.stat() for item in files]
                    marker = path / RECORD
                    newest = max((s.st_mtime for s in sizes), default=path.stat().st_mtime)
                    used = marker.stat().st_mtime if marker.is_file() else newest
                    found.append(Room(room, path, sum(s.st_size for s in sizes), used))
        return sorted(found, key=lambda item: (item.used, item.path.name))

    def verify(self) -> tuple[int, list[str]]:
        """Read every entry against its digests; the number of good ones, and a sentence per damaged one."""
        before = dict(self._damaged)
        good = 0
        with self.in_use():
            for path in sorted(_own(self.root / "steps")):
                good += self.find(path.name, use=False) is not None
            for path in sorted(_own(self.root / "measurements")):
                good += self.find_measurement(path.name, use=False) is not None
        return good, [why for key, why in self._damaged.items() if key not in before]

    def collect(self, keep_bytes: int, *, dry_run: bool = False) -> list[Room]:
        """Remove what dead processes and damage left, then the least recently used until `keep_bytes` remain.

        Returns:
            What was removed (or would be).
        Raises:
            StoreError: a run is using the store.
        """
        self._refuse_to_write("nothing can be removed from it")
        locks = self.root / "locks"
        with self._waiting(locks / "gc.lock", "store: another process is removing old entries"):
            running = sum(not free(path, remove=True) for path in locks.glob("run-*.lock"))
            if running:
                raise StoreError(f"{self.root}: {running} run(s) are using this store. Collect when they are done")
            removed = [
                Room("left over", path, _size(path), path.stat().st_mtime)
                for path in [*_own(self.root / "tmp"), *_own(self.root / "damaged")]
                if path.suffix != ".lock" and free(Path(f"{path}.lock"))
            ]
            rooms = self.rooms()
            total = sum(room.size_bytes for room in rooms)
            for room in rooms:
                if total <= keep_bytes:
                    break
                removed.append(room)
                total -= room.size_bytes
            for room in removed if not dry_run else ():
                self._remove(room.path)
            # No run is left that could wait for them, and a new one waits for us.
            for lock in [*locks.glob("*.lock"), *(self.root / "tmp").glob("*.lock")] if not dry_run else ():
                if lock.name != "gc.lock":
                    free(lock, remove=True)
        return removed

    def _remove(self, path: Path) -> None:
        grave = self.root / "tmp" / f"gone-{uuid.uuid4().hex}"
        path.replace(grave)  # whole or gone for every reader
        if grave.is_dir():
            shutil.rmtree(grave, ignore_errors=True)
        else:
            grave.unlink(missing_ok=True)
        Path(f"{path}.lock").unlink(missing_ok=True)


def _read_record(path: Path) -> dict[str, Any]:
    """A step's record, held against its own SHA-256."""
    record = read_json(path)
    sha256 = record.pop("sha256")
    if key_of(record) != sha256:
        raise StoreError(f"{path}: damaged: its content does not match its SHA-256")
    return dict(record)


def _flush(path: Path) -> None:
    """Have the system write a file or a folder's names to the disk now."""
    if path.is_dir():
        if os.name == "posix":  # Windows has no such thing for folders
            folder = os.open(path, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return
    with path.open("rb+") as stream:  # Windows flushes only what is open for writing
        os.fsync(stream.fileno())


def _touch(path: Path) -> None:
    with suppress(OSError):  # a store that is only readable still serves
        os.utime(path, (time.time(), time.time()))


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(item.stat().st_size for item in files if item.is_file())


def _leaves(value: Any, place: str = "") -> dict[str, Any]:
    """A nested mapping as {dotted name: value}."""
    if isinstance(value, Mapping):
        found: dict[str, Any] = {}
        for key, item in value.items():
            found |= _leaves(item, f"{place}.{key}" if place else str(key))
        return found
    return {place: value}


def _differing(
    known: Iterable[tuple[Path, dict[str, Any]]], wanted: dict[str, Any], first: str = ""
) -> list[tuple[str, Any, Any]] | None:
    """(name, old, new) of what differs from the nearest; those of the same `first` are nearer than all others."""
    nearest: tuple[bool, int, float] | None = None
    found: list[tuple[str, Any, Any]] | None = None
    for path, leaves in known:
        names = [name for name in sorted({*leaves, *wanted}) if leaves.get(name) != wanted.get(name)]
        with suppress(OSError):  # just removed
            rank = (first in names, len(names), -path.with_name(RECORD).stat().st_mtime)
            if nearest is None or rank < nearest:
                nearest, found = rank, [(name, leaves.get(name), wanted.get(name)) for name in names]
    return found


_MACHINE = "machine: another one, or another processor, number of cores or version of Python or ONNX Runtime"
_STEP = {
    "input": "input: another model comes in from the step before",
    "code": "code: the source of edgepipe or of the pass changed",
    "teacher": "teacher: the baseline is another model",
    "machine": _MACHINE,
}
_MEASUREMENT = {
    "artifact": "this model was not measured before",
    "baseline": "it is compared with another baseline",
    "code": "code: the source of the measurements changed",
    "data": "evaluation data: other content",
    "machine": _MACHINE,
}


def _difference(name: str, old: Any, new: Any, fixed: Mapping[str, str]) -> str:
    if name in fixed:
        return fixed[name]
    if name.partition(".")[0] in ("data", "files"):
        return f"{name}: other content"
    return f"{name}: {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
