"""The arrays of one .npz file: checked and hashed row by row once, then read row by row."""

from __future__ import annotations

import hashlib
import math
import shutil
import struct
import zipfile
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.files import is_file, replacing, unpacks_to_too_much
from edgepipe.data.hashes import cache_file, recall, remember, stamp
from edgepipe.data.rows import RowFile
from edgepipe.errors import DataError

NAMES = ("images", "inputs")
_EXACT = 1 << 24
"""Integers up to here (token numbers, counts) are exact in float32, which every input is handed over in."""


@dataclass(frozen=True)
class Arrays:
    """`shape` of one example; `hashes` of each example's bytes.

    `labels`: classes as int64, (examples,); numbers as float32, (examples, values); or None. `dtype` as stored.
    """

    shape: tuple[int, ...]
    labels: NDArray[Any] | None
    hashes: list[str]
    rows: RowFile
    dtype: str = "<f4"

    def read(self, row: int) -> NDArray[np.float32]:
        """Float32, `shape`."""
        return np.frombuffer(self.rows.read(row), self.dtype).reshape(self.shape).astype(np.float32, copy=False)


def open_arrays(key: str, path: Path, cache: Path, trust_stat: bool) -> Arrays:
    """Open and check one file; `key` is the recipe's, for messages.

    Raises:
        DataError: it is no .npz, or its arrays are missing, of another type or shape, or not finite.
    """
    where = f"{key}={path}"
    if not is_file(path, key):
        raise DataError(f"{where}: no such file: give an .npz with `images` and, where you have them, `labels`")
    bomb = unpacks_to_too_much(path)
    if bomb is not None:
        raise DataError(f"{where}: {bomb}: refused. Save it with numpy.savez, which packs nothing")
    memory = cache_file(cache, "npz", path)
    copy = memory.with_suffix(".npy")
    try:
        found = stamp(path)
        with zipfile.ZipFile(path) as archive:
            known = recall(memory) if trust_stat else None
            if not isinstance(known, dict) or known.get("stamp") != found or not _copy_holds(known, copy):
                known = {"stamp": found, **_check(where, archive, copy)}
                remember(memory, known)
            labels = _labels(where, archive, len(known["hashes"]))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{where}: not a readable .npz ({error}): write it again with numpy.savez") from error
    except OSError as error:
        raise DataError(f"{where}: {error}: is it readable, and is there room in {cache}?") from error
    shape = tuple(known["shape"])
    dtype = str(known.get("dtype", "<f4"))
    size = np.dtype(dtype).itemsize * math.prod(shape)
    rows = RowFile(path if known["copy"] is None else copy, known["offset"], size)
    return Arrays(shape, labels, known["hashes"], rows, dtype)


def _copy_holds(known: dict[str, Any], copy: Path) -> bool:
    return known.get("copy") is None or (is_file(copy) and stamp(copy) == known["copy"])


def _header(where: str, name: str, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = read(stream)
    except (ValueError, KeyError) as error:
        raise DataError(f"{where}: `{name}` is not a NumPy array ({error}): write it with numpy.savez") from error
    if dtype.hasobject:
        raise DataError(f"{where}: `{name}` holds Python objects, which can run code when loaded: save plain numbers")
    if fortran and len(shape) > 1:
        raise DataError(f"{where}: `{name}` is in Fortran order: save numpy.ascontiguousarray({name})")
    return tuple(shape), dtype


def _check(where: str, archive: zipfile.ZipFile, copy: Path) -> dict[str, Any]:
    """Hash every example and refuse NaN; a compressed array is unpacked into `copy` on the way."""
    there = [name.removesuffix(".npy") for name in archive.namelist()]
    name = next((name for name in NAMES if name in there), None)
    if name is None:
        raise DataError(f"{where}: no array `images` in it, only {', '.join(there) or 'nothing'}: rename one")
    info = archive.getinfo(f"{name}.npy")
    packed = info.compress_type != zipfile.ZIP_STORED
    hashes: list[str] = []
    with ExitStack() as stack:
        stream = stack.enter_context(archive.open(info))
        shape, dtype = _header(where, name, stream)
        header_bytes = stream.tell()
        if dtype != np.dtype("<f4") and dtype.kind not in "iu":
            raise DataError(f"{where}: `{name}` is {dtype}, not float32: save {name}.astype('float32'), preprocessed")
        if len(shape) < 2 or 0 in shape:
            raise DataError(f"{where}: `{name}` has shape {shape}: give (examples, ...), as in (200, 3, 224, 224)")
        row_bytes = dtype.itemsize * math.prod(shape[1:])
        if info.file_size != header_bytes + shape[0] * row_bytes:
            raise DataError(f"{where}: `{name}` is cut off or too long for its shape {shape}: write it again")
        out = None
        if packed:
            _make_room(where, copy.parent, info.file_size)
            out = stack.enter_context(stack.enter_context(replacing(copy)).open("wb"))
        for row in range(shape[0]):
            content = stream.read(row_bytes)
            values = np.frombuffer(content, dtype)
            if dtype.kind != "f" and np.abs(values.astype(np.float64)).max() > _EXACT:
                raise DataError(f"{where}: {name}[{row}] holds an integer beyond {_EXACT}, which float32 would round")
            if not np.isfinite(values).all():
                raise DataError(f"{where}: {name}[{row}] holds NaN or infinity: remove it or fix the preprocessing")
            hashes.append(hashlib.sha256(content).hexdigest())
            if out is not None:
                out.write(content)
        stream.read(1)  # reaching the end checks the CRC
    offset = 0 if packed else _data_start(archive, info) + header_bytes
    return {
        "copy": stamp(copy) if packed else None,
        "offset": offset,
        "shape": shape[1:],
        "hashes": hashes,
        "dtype": dtype.str,
    }


def _make_room(where: str, folder: Path, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(f"{where}: unpacks to {size} bytes, but {folder} has {free} free: make room")


def _data_start(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    # The local header repeats name and extra field, in lengths of its own (APPNOTE.TXT 4.3.7).
    with Path(str(archive.filename)).open("rb") as raw:
        raw.seek(info.header_offset + 26)
        name_bytes, extra_bytes = struct.unpack("<HH", raw.read(4))
    return int(info.header_offset + 30 + name_bytes + extra_bytes)


def kind_of_labels(path: Path) -> str | None:
    """`none`, `numbers` or `classes`, by the file's directory and one header; None where it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            if "labels.npy" not in archive.namelist():
                return "none"
            with archive.open("labels.npy") as stream:
                return "numbers" if _header(str(path), "labels", stream)[1].kind == "f" else "classes"
    except (OSError, zipfile.BadZipFile, NotImplementedError, DataError):  # told by whoever opens it
        return None


def _labels(where: str, archive: zipfile.ZipFile, count: int) -> NDArray[Any] | None:
    """Integers are classes; floating-point numbers are what a regression is to find."""
    if "labels.npy" not in archive.namelist():
        return None
    with archive.open("labels.npy") as stream:
        shape, dtype = _header(where, "labels", stream)
        if dtype.kind not in "iuf":
            raise DataError(f"{where}: `labels` are {dtype}: give classes as integers (int64) or numbers as float32")
        numbers = dtype.kind == "f"
        if shape[:1] != (count,) or len(shape) > (2 if numbers else 1):
            wanted = f"({count},)" + (f" or ({count}, values)" if numbers else "")
            raise DataError(f"{where}: `labels` have shape {shape}, but there are {count} examples: give {wanted}")
        size = math.prod(shape) * dtype.itemsize
        content = stream.read(size + 1)
    if len(content) != size:
        raise DataError(f"{where}: `labels` are cut off: write the file again")
    if numbers:
        values = np.frombuffer(content, dtype).astype(np.float32).reshape(count, -1)
        if not np.isfinite(values).all():
            raise DataError(f"{where}: `labels` hold NaN or infinity: remove those examples")
        return values
    labels = np.frombuffer(content, dtype).astype(np.int64)
    if labels.min() < 0:
        raise DataError(f"{where}: labels[{int(labels.argmin())}] is {labels.min()}: labels count from 0")
    return labels
