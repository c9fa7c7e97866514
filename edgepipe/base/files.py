"""Files and folders are written whole or not at all; small texts are read with an error that says what is wrong."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
import sys
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from edgepipe.base.text import printable
from edgepipe.errors import InputError

Record = TypeVar("Record", bound=BaseModel)
_NO_LETTER = re.compile("[\ud800-\udfff]")


_NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP)


def is_file(path: Path, where: str = "") -> bool:
    """Whether a plain file is there, links followed.

    Args:
        where: the setting that names it, for the message.
    Raises:
        InputError: there can be none: the name is too long, or holds a null byte; or the system does not tell.
    """
    return stat.S_ISREG(_mode(path, where))


def is_folder(path: Path, where: str = "") -> bool:
    """Whether a folder is there, links followed; arguments and errors are those of `is_file`."""
    return stat.S_ISDIR(_mode(path, where))


def is_there(path: Path, where: str = "") -> bool:
    """Whether anything is there, links followed; arguments and errors are those of `is_file`."""
    return _mode(path, where) != 0


def _mode(path: Path, where: str) -> int:
    """Of what is there; 0: nothing."""
    named = f"{where}: {brief(str(path))}" if where else brief(str(path))
    try:
        return path.stat().st_mode
    except OSError as error:
        if error.errno in _NOTHING:
            return 0
        raise InputError(f"{named}: {(error.strerror or str(error)).lower()}") from None
    except ValueError:
        raise InputError(f"{named}: no path of a file holds a null byte") from None


def brief(name: str, most: int = 120) -> str:
    """A name for a message; of one that no file has, both ends."""
    return name if len(name) <= 2 * most else f"{name[:most]}…{name[-most // 2 :]} ({len(name):,} letters)"


@contextmanager
def replacing(path: Path, *, alone: bool = False, on_disk: bool = False) -> Iterator[Path]:
    """A path to write a file or a folder to, which takes the place of `path` at the end of the block.

    A reader sees the old one or the new one, never half of it; where the block fails, the old one stays. What a
    killed process wrote is left as `.NAME.*.part`, or `.NAME.part` where `alone`.

    Args:
        alone: a lock says that nobody else writes `path` now: what a killed process left is written over.
        on_disk: the new file is on the disk before the old one goes, whatever becomes of the power.
    Raises:
        OSError: the folder is missing or cannot be written.
    """
    part = path.with_name(f".{path.name}.part" if alone else f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    if alone:
        remove(part)
    try:
        yield part
        if on_disk:
            flush(part)
        swap(part, path)
    except BaseException:
        remove(part)
        raise


def swap(part: Path, path: Path) -> None:
    """Put a file or a folder in the place of another one beside it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    part.replace(path)


def remove(path: Path) -> None:
    """A file, a link or a folder, as far as it lets itself be removed; nothing is there afterwards, or was before."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def flush(path: Path) -> None:
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


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; a reader sees the old file or the new one, never half of it.

    Raises:
        OSError: the folder is missing or cannot be written, or a pipe or a device is there.
    """
    if path.exists() and not path.is_file():  # as root, one would take the place of /dev/null
        raise OSError(errno.EINVAL, "no plain file", str(path))
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def writable(record: Record) -> Record:
    """The record itself; where a name in it has bytes that are no letters, which JSON cannot hold, one with `\\xe9`."""
    try:
        record.model_dump_json()
    except PydanticSerializationError:
        return type(record).model_validate(_lettered(record.model_dump(by_alias=True)))
    return record


def lettered(text: str) -> str:
    """A text with the bytes of names that are no letters written out as `\\xe9`, so that a file can hold it."""
    return _NO_LETTER.sub(lambda found: printable(found[0]), text)


def _lettered(value: Any) -> Any:
    if isinstance(value, str):
        return lettered(value)
    if isinstance(value, dict):
        return {_lettered(key): _lettered(item) for key, item in value.items()}
    return type(value)(map(_lettered, value)) if type(value) in (list, tuple) else value


MOST_TEXT = 64 << 20
"""Bytes of a JSON or YAML file that is read whole."""


MOST_RECORD, MOST_VALUES = 8 << 20, 300_000
"""Bytes of a JSON file that edgepipe wrote about one run (tens to hundreds of thousands), and values in it."""


def read_plain(path: Path, most: int = MOST_TEXT) -> str:
    """UTF-8 text of a plain file: a pipe would be waited for, and a device may never end.

    Raises:
        OSError: it cannot be read, is no plain file, or has more than `most` bytes.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
        raise OSError(errno.EINVAL, f"{kind}, and no plain file", str(path))
    if found.st_size > most:
        raise OSError(errno.EFBIG, f"{found.st_size:,} bytes, and {most:,} are the most", str(path))
    return path.read_text(encoding="utf-8")


def read_json(path: Path, most: int = MOST_TEXT) -> Any:
    """The values of a plain JSON file of `most` bytes at most.

    Raises:
        OSError: as `read_plain`. ValueError: it is no JSON, or is nested deeper than any honest one.
    """
    try:
        return json.loads(read_plain(path, most))
    except RecursionError:
        raise ValueError("nested too deep") from None


def near(path: Path) -> str:
    """A path as it works from where the user stands: relative below the current folder, else absolute."""
    path = Path(os.path.abspath(path))  # noqa: PTH100  without its `..`, and without following links
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _beyond_reason(text: str) -> str | None:
    """What is wrong with a JSON text that holds NaN, an infinity, a whole number that no float holds, or too much."""
    try:
        waiting: list[tuple[str, Any]] = [("", json.loads(text))]
    except (ValueError, RecursionError):
        return None  # told by whoever validates it
    count = 0
    while waiting:
        place, value = waiting.pop()
        count += 1 + (len(value) if isinstance(value, (dict, list)) else 0)
        if count > 2 * MOST_VALUES:
            return f"more than {MOST_VALUES:,} values, and edgepipe writes none with so many"
        if isinstance(value, dict):
            waiting += [(f"{place}.{key}", item) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{place}.{number}", item) for number, item in enumerate(value)]
        elif isinstance(value, (int, float)) and not -sys.float_info.max <= value <= sys.float_info.max:
            return f"{place[1:] or 'the file'}: no finite number, and edgepipe writes none such"
    return None


MOST_UNPACKED = 256 << 20
"""Bytes that an archive may unpack to whatever its own size; a larger one, to `MOST_RATIO` times its size."""
MOST_RATIO = 50


def unpacks_to_too_much(path: Path) -> str | None:
    """What is wrong with a zip archive (.npz, .pth) that would fill the memory, in words; nothing is unpacked."""
    try:
        if not zipfile.is_zipfile(path):
            return None
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        packed = path.stat().st_size
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return None  # whoever reads it says what is wrong
    if unpacked <= max(MOST_UNPACKED, MOST_RATIO * packed):
        return None
    return f"{packed:,} bytes unpack to {unpacked:,}, as in a decompression bomb"


def reserve(path: Path, size_bytes: int) -> None:
    """Have the disk hold a file's bytes now: one that is only mapped kills the process when the disk is full.

    Raises:
        OSError: there is no room.
    """
    if hasattr(os, "posix_fallocate") and size_bytes:
        with path.open("r+b") as stream:
            try:
                os.posix_fallocate(stream.fileno(), 0, size_bytes)
            except OSError as error:
                if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    return  # a file system that cannot; it says so when it is full
                raise OSError(error.errno, error.strerror, str(path)) from None


def read_record(path: Path, kind: type[Record], remedy: str) -> Record:
    """A JSON file that edgepipe wrote.

    Raises:
        InputError: there is none, or it is not a `kind`; ends with `remedy`.
    """
    try:
        text = read_plain(path, MOST_RECORD)
        wrong = _beyond_reason(text)
        if wrong is not None:
            raise InputError(f"{path}: {wrong}. {remedy}")
        return kind.model_validate_json(text)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. {remedy}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text. {remedy}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}. {remedy}") from None
    except ValidationError as error:
        places = [(".".join(map(str, item["loc"])) or "the file", item["msg"]) for item in error.errors()]
        lines = [f"{path}: no {kind.__name__.lower()} of this version: {place}: {said}" for place, said in places[:6]]
        raise InputError("\n".join(lines) + f". {remedy}") from None
