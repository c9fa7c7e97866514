"""What a folder or a .zip of pictures holds: paths and content hashes, checked before anything is decoded."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from edgepipe.base.files import is_file, is_folder, is_there
from edgepipe.base.text import printable
from edgepipe.contract.artifact import file_sha256
from edgepipe.data.decode import SUFFIXES
from edgepipe.data.hashes import cache_file, recall, remember, stamp
from edgepipe.errors import DataError

MAX_RATIO = 200  # uncompressed / compressed bytes; pictures are compressed already, so their ratio is near 1
MAX_FILE_BYTES = 256 << 20
MOST_BYTES_BESIDE = 1 << 30
"""Of a file beside the pictures: COCO's annotations of 118,000 pictures take 450 MB."""
BOMB_FROM_BYTES = 10 << 20  # below, a high ratio is a blank picture and not an attack
MOST_FOLDERS = 64
"""Folders within each other; whoever nests deeper wants to fill memory or to exhaust the stack."""
UNIX = 3
"""The system that a member of an archive says it was packed on."""
_DRIVE = re.compile(r"[A-Za-z]:")


Suffixes = tuple[str, ...]


class Wanted(NamedTuple):
    """Suffixes of the files that are listed with their hashes, and of those beside them that are named."""

    suffixes: Suffixes
    also: Suffixes


CLUTTER = ("thumbs.db", "desktop.ini")
"""What systems put beside pictures; nobody misses it, and nothing is said of it."""


@dataclass(frozen=True)
class Listing:
    """Pictures of one root.

    Attributes:
        hashes: path (with /) to hex SHA-256.
        folders: all folders, empty ones included.
        left: what is left out: kind (a suffix, or `HIDDEN`) to number of files.
        others: paths of the files that were asked for beside pictures, as annotations; read one with `other`.
    """

    hashes: dict[str, str]
    folders: set[str]
    read: Callable[[str], bytes]
    left: Counter[str] = field(default_factory=Counter)
    others: tuple[str, ...] = ()

    def other(self, name: str, most: int) -> bytes:
        """One of `others`.

        Raises:
            DataError: it has more than `most` bytes, or cannot be read.
        """
        content = self.read(name)
        if len(content) > most:
            raise DataError(f"{printable(name)}: {len(content):,} bytes, more than {most:,}: split it or leave it out")
        return content

    def note(self) -> str | None:
        """A sentence on what is left out; None: nothing."""
        parts = []
        others = sorted((kind for kind in self.left if kind != HIDDEN), key=lambda kind: (-self.left[kind], kind))
        if others:
            count = sum(self.left[kind] for kind in others)
            named = ", ".join(f"{self.left[kind]} {printable(kind)}" for kind in others[:5])
            more = f" and {len(others) - 5} other kinds" if len(others) > 5 else ""
            parts.append(f"{count} file{'s' * (count > 1)} that the suffix makes no picture of ({named}{more})")
        if self.left[HIDDEN]:
            parts.append(f"{self.left[HIDDEN]} hidden picture{'s' * (self.left[HIDDEN] > 1)}")
        if not parts:
            return None
        return f"{' and '.join(parts)} left out; pictures are {', '.join(SUFFIXES)}"


HIDDEN = "hidden"
"""The kind of pictures that a name with a dot in front hides, or a folder of such a name."""


def is_picture(name: str, suffixes: Suffixes = SUFFIXES) -> bool:
    """Whether a path looks like a picture, or what else is listed: its suffix says so and no part is hidden."""
    return name.lower().endswith(suffixes) and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether a part of the path begins with a dot, or is macOS's folder of things that are no files."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _kind(name: str, suffixes: Suffixes) -> str | None:
    """What a file that is not listed is counted as; None: a picture, or what a system put there."""
    base = name.rpartition("/")[2]
    if base.lower() in CLUTTER or base.startswith("._") or "__MACOSX" in name.split("/") or is_picture(name, suffixes):
        return None
    if is_hidden(name):
        return HIDDEN if base.lower().endswith(suffixes) else None
    _, dot, suffix = base.rpartition(".")
    return f".{suffix.lower()}" if dot else "without a suffix"


def list_root(root: Path, cache: Path, trust_stat: bool, also: Suffixes = (), suffixes: Suffixes = SUFFIXES) -> Listing:
    """List a folder or a .zip; hashes are taken from `cache` while size and mtime stay.

    Args:
        also: suffixes of files that are wanted beside the pictures.
        suffixes: of the pictures, or of what else is listed in their place.
    Raises:
        DataError: there is no such root, or it is damaged or hostile.
    """
    wanted = Wanted(suffixes, also)
    if is_folder(root, "data.root"):
        return _list_folder(root, cache_file(cache, f"folder{suffixes[0]}", root), trust_stat, wanted)
    if not is_there(root):
        raise DataError(f"data.root={root}: no such folder or .zip: give one that holds a folder of pictures per class")
    if not is_file(root) or not zipfile.is_zipfile(root):
        raise DataError(f"data.root={root}: neither a folder nor a readable .zip: unpack it, or download it again")
    return _list_zip(root, cache_file(cache, f"zip{suffixes[0]}", root), trust_stat, wanted)


@dataclass
class _Walked:
    wanted: Wanted
    stamps: dict[str, list[int]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    left: Counter[str] = field(default_factory=Counter)
    others: list[str] = field(default_factory=list)


def _list_folder(root: Path, file: Path, trust_stat: bool, wanted: Wanted) -> Listing:
    walked = _Walked(wanted)
    _walk(root, "", 0, walked)
    stamps = walked.stamps
    known = recall(file) if trust_stat else None
    known = known if isinstance(known, dict) else {}
    hashes: dict[str, str] = {}
    for name, found in stamps.items():
        entry = known.get(name)
        if isinstance(entry, list) and len(entry) == 3 and entry[:2] == found:
            hashes[name] = str(entry[2])
    fresh = [name for name in stamps if name not in hashes]
    try:
        with ThreadPoolExecutor(4) as threads:  # hashing and reading release the interpreter lock
            hashes.update(zip(fresh, threads.map(lambda name: file_sha256(root / name), fresh), strict=True))
    except OSError as error:
        raise DataError(f"data.root={root}: {error}: make it readable, or remove it") from error
    if fresh or len(known) != len(hashes):
        remember(file, {name: [*stamps[name], hashes[name]] for name in stamps})
    others = tuple(sorted(walked.others))
    return Listing(hashes, walked.folders, lambda name: _read_file(root / name), walked.left, others)


def _walk(root: Path, inside: str, depth: int, found: _Walked) -> None:
    """Collect stamps and folders; links to folders are followed to the class folders, where loops cannot be."""
    try:
        with os.scandir(root / inside) as entries:
            for entry in entries:
                name = f"{inside}/{entry.name}" if inside else entry.name
                if entry.is_dir(follow_symlinks=depth < 3):
                    if is_hidden(name):
                        found.left.update(_hidden_pictures(root / name, found.wanted))
                        continue
                    if depth >= MOST_FOLDERS:
                        raise DataError(
                            f"data.root={root}: {printable(name[:200])} lies more than {MOST_FOLDERS} folders deep: "
                            "move it up"
                        )
                    found.folders.add(name)
                    _walk(root, name, depth + 1, found)
                elif is_other(name, found.wanted.also) and not entry.is_dir():
                    _refuse_strange(f"data.root={root}: {name}", entry.stat(), MOST_BYTES_BESIDE)
                    found.others.append(name)
                elif kind := _kind(name, found.wanted.suffixes):
                    found.left[kind] += 1
                elif is_picture(name, found.wanted.suffixes) and not entry.is_dir():
                    status = entry.stat()
                    _refuse_strange(f"data.root={root}: {name}", status)
                    found.stamps[name] = [status.st_size, status.st_mtime_ns]
    except OSError as error:
        raise DataError(f"data.root={root}: {error}: make it readable, or remove it") from error


def _hidden_pictures(folder: Path, wanted: Wanted) -> Iterator[str]:
    if folder.name == "__MACOSX":
        return
    for _, _, names in os.walk(folder):  # what cannot be read is passed over
        yield from (HIDDEN for name in names if _kind(f".hidden/{name}", wanted.suffixes))


def is_other(name: str, also: tuple[str, ...]) -> bool:
    """Whether a file is one of those that are wanted beside the pictures."""
    return bool(also) and name.lower().endswith(also) and not is_hidden(name)


def _refuse_strange(where: str, status: os.stat_result, most: int = MAX_FILE_BYTES) -> None:
    """A pipe would be waited for, a device may never end, and no picture is as large as a file can be."""
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{where}: a pipe or a device, and no plain file: remove it")
    if status.st_size > most:
        raise DataError(f"{where}: {status.st_size:,} bytes: more than {most:,}: shrink or remove it")


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}: it was there when the run began") from error


def _list_zip(root: Path, file: Path, trust_stat: bool, wanted: Wanted) -> Listing:
    archive = _Archive(root, wanted)
    found = recall(file) if trust_stat else None
    # What was listed by other rules is listed again.
    state = {"stamp": stamp(root), "rules": [3, *wanted.suffixes, *wanted.also]}
    told = {"hashes": dict, "folders": list, "written": dict, "left": dict, "others": list}
    if (
        not isinstance(found, dict)
        or any(found.get(key) != value for key, value in state.items())
        or not all(isinstance(found.get(key), kind) for key, kind in told.items())
    ):
        # Taken before reading: should the file change meanwhile, the next run sees another stamp.
        found = {**state, **archive.scan()}
        remember(file, found)
    archive.written = found["written"]
    left, others = Counter(found["left"]), tuple(found["others"])
    return Listing(found["hashes"], set(found["folders"]), archive.read, left, others)


def normal_name(member: zipfile.ZipInfo) -> str:
    """A member's path as every program means it: with /, without `./`, in its own letters; a folder ends in /.

    Programs of Windows write backslashes, some of Unix UTF-8 without the flag that says so, or bytes of no encoding.
    """
    name = member.filename
    if not member.flag_bits & 0x800 and not name.isascii():
        raw = name.encode("cp437")  # how zipfile decoded it
        with suppress(UnicodeDecodeError):
            name = raw.decode("utf-8", "surrogateescape" if member.create_system == UNIX else "strict")
    name = name.replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return ("/" if name.startswith("/") else "") + "/".join(parts) + ("/" if name.endswith("/") and parts else "")


class _Archive:
    """A .zip that is opened when it is first read: listing 60,000 members takes a quarter of a second."""

    def __init__(self, root: Path, wanted: Wanted) -> None:
        self.root, (self.suffixes, self.also) = root, wanted
        self.written: dict[str, str] = {}
        """Normal name to the name in the archive, where the two differ."""
        self._file: zipfile.ZipFile | None = None

    def file(self) -> zipfile.ZipFile:
        if self._file is None:
            try:
                self._file = zipfile.ZipFile(self.root)
            except (OSError, zipfile.BadZipFile) as error:
                raise DataError(f"data.root={self.root}: damaged archive ({error}): download it again") from error
        return self._file

    def read(self, name: str) -> bytes:
        try:
            return self.file().read(self.written.get(name, name))
        except (
            OSError,
            KeyError,
            EOFError,
            RuntimeError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise DataError(f"{self.root}/{name}: cannot be unpacked ({error}): download the archive again") from error

    def scan(self) -> dict[str, object]:
        named = [(normal_name(member), member) for member in self.file().infolist()]
        members = [(name, member) for name, member in named if name]  # "./" is the root itself
        self._refuse_hostile(members)
        folders = {folder for name, _ in members for folder in parents(name)}
        files = [(name, member) for name, member in members if not name.endswith("/")]
        self.written = {name: member.filename for name, member in files if name != member.filename}
        hashes = {name: hashlib.sha256(self.read(name)).hexdigest() for name, _ in files if self._listed(name)}
        others = sorted(name for name, _ in files if is_other(name, self.also))
        left = Counter(
            kind for name, _ in files if not is_other(name, self.also) and (kind := _kind(name, self.suffixes))
        )
        return {
            "hashes": hashes,
            "folders": sorted(folders),
            "written": self.written,
            "left": left,
            "others": others,
        }

    def _listed(self, name: str) -> bool:
        return is_picture(name, self.suffixes)

    def _refuse_hostile(self, members: Sequence[tuple[str, zipfile.ZipInfo]]) -> None:
        seen: set[str] = set()
        for name, member in members:
            problem = None
            if name.startswith("/") or _DRIVE.match(name) or ".." in name.split("/"):
                problem = "its path leads out of the archive"
            elif name.count("/") > MOST_FOLDERS:
                problem = f"it lies more than {MOST_FOLDERS} folders deep"
            elif stat.S_ISLNK(member.external_attr >> 16):
                problem = "it is a symbolic link"
            elif member.flag_bits & 1:
                problem = "it is encrypted"
            elif name in seen and not name.endswith("/"):
                problem = "the name occurs twice"
            elif (
                self._listed(name)
                and (member.file_size > MAX_FILE_BYTES or _is_bomb(member.file_size, member.compress_size))
            ) or (is_other(name, self.also) and member.file_size > MOST_BYTES_BESIDE):
                problem = f"{member.compress_size} bytes unpack to {member.file_size}, as in a decompression bomb"
            if problem:
                raise DataError(
                    f"data.root={self.root}: member '{printable(member.filename[:200])}': {problem}. Pack the pictures "
                    "again without it"
                )
            seen.add(name)
        total = sum(member.file_size for name, member in members if self._listed(name))  # the rest stays packed
        # Members that overlap each look harmless, but their sum cannot come out of a file of this size.
        if _is_bomb(total, self.root.stat().st_size):
            raise DataError(f"data.root={self.root}: unpacks to {total} bytes, as in a decompression bomb: refused")


def _is_bomb(size: int, packed: int) -> bool:
    return size > BOMB_FROM_BYTES and size > MAX_RATIO * packed


def parents(name: str) -> list[str]:
    """All folders above a path, outermost first."""
    parts = name.split("/")[:-1]  # a folder's own entry ends in "/"
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
