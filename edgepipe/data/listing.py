"""What a folder or a .zip of pictures holds: paths and content hashes, checked before anything is decoded."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edgepipe.artifact import file_sha256
from edgepipe.data.decode import SUFFIXES
from edgepipe.data.hashes import cache_file, recall, remember, stamp
from edgepipe.errors import DataError

MAX_RATIO = 200  # uncompressed / compressed bytes; pictures are compressed already, so their ratio is near 1
MAX_FILE_BYTES = 256 << 20
BOMB_FROM_BYTES = 10 << 20  # below, a high ratio is a blank picture and not an attack


@dataclass(frozen=True)
class Listing:
    """Pictures of one root. `hashes`: path (with /) to hex SHA-256; `folders`: all folders, empty ones included."""

    hashes: dict[str, str]
    folders: set[str]
    read: Callable[[str], bytes]


def is_picture(name: str) -> bool:
    """Whether a path looks like a picture: its suffix says so and no part is hidden."""
    parts = name.split("/")
    return name.lower().endswith(SUFFIXES) and not any(part.startswith((".", "__MACOSX")) for part in parts)


def list_root(root: Path, cache: Path, trust_stat: bool) -> Listing:
    """List a folder or a .zip; hashes are taken from `cache` while size and mtime stay.

    Raises:
        DataError: there is no such root, or it is damaged or hostile.
    """
    if root.is_dir():
        return _list_folder(root, cache_file(cache, "folder", root), trust_stat)
    if not root.exists():
        raise DataError(f"data.root={root}: no such folder or .zip: give one that holds a folder of pictures per class")
    if not zipfile.is_zipfile(root):
        raise DataError(f"data.root={root}: neither a folder nor a readable .zip: unpack it, or download it again")
    return _list_zip(root, cache_file(cache, "zip", root), trust_stat)


def _list_folder(root: Path, file: Path, trust_stat: bool) -> Listing:
    stamps: dict[str, list[int]] = {}
    folders: set[str] = set()
    _walk(root, "", 0, stamps, folders)
    known = recall(file) if trust_stat else None
    known = known if isinstance(known, dict) else {}
    hashes: dict[str, str] = {}
    for name, found in stamps.items():
        entry = known.get(name)
        if isinstance(entry, list) and entry[:2] == found:
            hashes[name] = str(entry[2])
    fresh = [name for name in stamps if name not in hashes]
    try:
        with ThreadPoolExecutor(4) as threads:  # hashing and reading release the interpreter lock
            hashes.update(zip(fresh, threads.map(lambda name: file_sha256(root / name), fresh), strict=True))
    except OSError as error:
        raise DataError(f"data.root={root}: {error}: make it readable, or remove it") from error
    if fresh or len(known) != len(hashes):
        remember(file, {name: [*stamps[name], hashes[name]] for name in stamps})
    return Listing(hashes, folders, lambda name: _read_file(root / name))


def _walk(root: Path, inside: str, depth: int, stamps: dict[str, list[int]], folders: set[str]) -> None:
    """Collect stamps and folders; links to folders are followed to the class folders, where loops cannot be."""
    try:
        with os.scandir(root / inside) as entries:
            for entry in entries:
                name = f"{inside}/{entry.name}" if inside else entry.name
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=depth < 3):
                    folders.add(name)
                    _walk(root, name, depth + 1, stamps, folders)
                elif is_picture(name) and not entry.is_dir():
                    status = entry.stat()
                    stamps[name] = [status.st_size, status.st_mtime_ns]
    except OSError as error:
        raise DataError(f"data.root={root}: {error}: make it readable, or remove it") from error


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}: it was there when the run began") from error


def _list_zip(root: Path, file: Path, trust_stat: bool) -> Listing:
    archive = _Archive(root)
    found = recall(file) if trust_stat else None
    if not isinstance(found, dict) or found.get("stamp") != stamp(root):
        # Taken before reading: should the file change meanwhile, the next run sees another stamp.
        found = {"stamp": stamp(root), **archive.scan()}
        remember(file, found)
    return Listing(found["hashes"], set(found["folders"]), archive.read)


class _Archive:
    """A .zip that is opened when it is first read: listing 60,000 members takes a quarter of a second."""

    def __init__(self, root: Path) -> None:
        self.root = root
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
            return self.file().read(name)
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
        members = self.file().infolist()
        self._refuse_hostile(members)
        folders = {name for member in members for name in parents(member.filename)}
        pictures = [member.filename for member in members if not member.is_dir() and is_picture(member.filename)]
        hashes = {name: hashlib.sha256(self.read(name)).hexdigest() for name in pictures}
        return {"hashes": hashes, "folders": sorted(folders)}

    def _refuse_hostile(self, members: Sequence[zipfile.ZipInfo]) -> None:
        seen: set[str] = set()
        for member in members:
            name = member.filename
            problem = None
            if name.startswith("/") or "\\" in name or ":" in name.split("/")[0] or ".." in name.split("/"):
                problem = "its path leads out of the archive"
            elif stat.S_ISLNK(member.external_attr >> 16):
                problem = "it is a symbolic link"
            elif member.flag_bits & 1:
                problem = "it is encrypted"
            elif name in seen:
                problem = "the name occurs twice"
            elif is_picture(name) and (
                member.file_size > MAX_FILE_BYTES or _is_bomb(member.file_size, member.compress_size)
            ):
                problem = f"{member.compress_size} bytes unpack to {member.file_size}, as in a decompression bomb"
            if problem:
                raise DataError(
                    f"data.root={self.root}: member {name!r}: {problem}. Pack the pictures again without it"
                )
            seen.add(name)
        total = sum(member.file_size for member in members if is_picture(member.filename))  # the rest stays packed
        # Members that overlap each look harmless, but their sum cannot come out of a file of this size.
        if _is_bomb(total, self.root.stat().st_size):
            raise DataError(f"data.root={self.root}: unpacks to {total} bytes, as in a decompression bomb: refused")


def _is_bomb(size: int, packed: int) -> bool:
    return size > BOMB_FROM_BYTES and size > MAX_RATIO * packed


def parents(name: str) -> list[str]:
    """All folders above a path, outermost first."""
    parts = name.split("/")[:-1]  # a folder's own entry ends in "/"
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
