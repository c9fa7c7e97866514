"""The arrays of one .npz file: checked and hashed example by example once, then read example by example."""

from __future__ import annotations

import hashlib
import math
import shutil
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.files import is_file, replacing, unpacks_to_too_much
from edgepipe.contract import Tensor
from edgepipe.data.hashes import cache_file, recall, remember, stamp
from edgepipe.data.labels import checked
from edgepipe.data.rows import RowFile
from edgepipe.errors import DataError

NAMES = ("images", "inputs")
"""The array of a file with one input, which every float32 model takes whatever the array is made of."""
LABELS = "labels"
_EXACT = 1 << 24
"""Integers up to here (token numbers, counts) are exact in float32, in which `images` and `inputs` are handed over."""
_LONGEST = 8
"""Bytes of a number; ONNX has none that is longer."""


@dataclass(frozen=True)
class Column:
    """One array: `shape` of an example, `stored` as numpy writes its type, `dtype` in which it is handed over."""

    shape: tuple[int, ...]
    stored: str
    dtype: str
    rows: RowFile

    def read(self, row: int) -> NDArray[Any]:
        """`dtype`, `shape`."""
        return np.frombuffer(self.rows.read(row), self.stored).reshape(self.shape).astype(self.dtype, copy=False)


@dataclass(frozen=True)
class Arrays:
    """Arrays by the names of inputs; `hashes` of the bytes of each example, of all arrays together.

    `labels`: integers as int64, (examples,) or (examples, values); numbers as float32, (examples, values); or None.
    """

    columns: Mapping[str, Column]
    labels: NDArray[Any] | None
    hashes: list[str]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What an example is, by input."""
        return tuple(Tensor(name=name, dtype=item.dtype, shape=item.shape) for name, item in self.columns.items())

    def read(self, row: int) -> dict[str, NDArray[Any]]:
        """One example, by input."""
        return {name: column.read(row) for name, column in self.columns.items()}


def open_arrays(
    key: str, path: Path, cache: Path, trust_stat: bool, inputs: Sequence[str] | None = None, labels: str = LABELS
) -> Arrays:
    """Open and check one file; `key` is the recipe's, for messages.

    Args:
        inputs: names of the arrays that are inputs; None: as `chosen` says.
        labels: name of the array that says what is right; it need not be there.
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
    try:
        found = {"stamp": stamp(path), "wanted": [*(inputs or ()), labels]}
        with zipfile.ZipFile(path) as archive:
            known = recall(memory) if trust_stat else None
            if not isinstance(known, dict) or any(known.get(k) != v for k, v in found.items()) or not _held(known):
                there = [name.removesuffix(".npy") for name in archive.namelist()]
                known = {**found, **_check(where, archive, chosen(where, there, inputs, labels), memory)}
                remember(memory, known)
            values = _labels(where, archive, len(known["hashes"]), labels)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{where}: not a readable .npz ({error}): write it again with numpy.savez") from error
    except OSError as error:
        raise DataError(f"{where}: {error}: is it readable, and is there room in {cache}?") from error
    columns = {}
    for name, item in known["arrays"].items():
        shape, size = tuple(item["shape"]), np.dtype(item["stored"]).itemsize * math.prod(item["shape"])
        rows = RowFile(path if item["copy"] is None else Path(item["copy"][0]), item["offset"], size)
        columns[name] = Column(shape, item["stored"], item["dtype"], rows)
    return Arrays(columns, values, known["hashes"])


def chosen(where: str, there: Sequence[str], inputs: Sequence[str] | None, labels: str) -> dict[str, str]:
    """Names of arrays to those of inputs: `images` or `inputs`, the one input "input"; without them all but the labels.

    Raises:
        DataError: there is no such array; says which there are.
    """
    shown = ", ".join(there) or "nothing"
    if inputs is not None:
        lacking = [name for name in inputs if name not in there]
        if lacking:
            raise DataError(f"{where}: data.inputs names `{lacking[0]}`, which is not in it, only {shown}")
        return {name: name for name in inputs}
    one = next((name for name in NAMES if name in there and name != labels), None)
    if one is not None:
        return {one: "input"}
    found = {name: name for name in there if name != labels}
    if not found:
        raise DataError(f"{where}: no array `images` in it, only {shown}: give an array for each input of the model")
    return found


def listed(path: Path, labels: str = LABELS) -> tuple[str, ...]:
    """Names of the inputs that the file's directory lists; empty where it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            there = [name.removesuffix(".npy") for name in archive.namelist()]
            return tuple(chosen(str(path), there, None, labels).values())
    except (OSError, zipfile.BadZipFile, NotImplementedError, DataError):  # told by whoever opens it
        return ()


def _held(known: dict[str, Any]) -> bool:
    copies = [item["copy"] for item in known.get("arrays", {}).values() if item["copy"] is not None]
    return "arrays" in known and all(is_file(Path(file)) and stamp(Path(file)) == held for file, held in copies)


def header(where: str, name: str, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array that begins here.

    Raises:
        DataError: it is none, holds objects, or is not in C order.
    """
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


def _check(where: str, archive: zipfile.ZipFile, names: Mapping[str, str], memory: Path) -> dict[str, Any]:
    """Hash every example and refuse NaN; a compressed array is unpacked beside `memory` on the way."""
    arrays: dict[str, Any] = {}
    hashes: list[list[str]] = []
    for number, (name, given) in enumerate(names.items()):
        copy = memory.with_name(f"{memory.stem}{f'-{number}' if number else ''}.npy")
        arrays[given], found = _check_one(where, archive, name, given == name, copy)
        if hashes and len(hashes[0]) != len(found):
            other = next(iter(names))
            raise DataError(
                f"{where}: `{name}` has {len(found)} examples, but `{other}` {len(hashes[0])}: the first axis of each "
                "counts them"
            )
        hashes.append(found)
    if len(hashes) == 1:
        return {"arrays": arrays, "hashes": hashes[0]}
    joined = [hashlib.sha256(" ".join((*names, *parts)).encode()).hexdigest() for parts in zip(*hashes, strict=True)]
    return {"arrays": arrays, "hashes": joined}


def check_type(where: str, name: str, shape: Sequence[int], dtype: np.dtype[Any], named: bool) -> None:
    """Whether an array may be an input: of one that is `named`, any number that ONNX has; else float32 or integers.

    A named one may hold nothing for each example, as what a decoder remembers before its first word.

    Raises:
        DataError: it may not.
    """
    if named and (dtype.kind not in "biuf" or dtype.itemsize > _LONGEST):
        raise DataError(f"{where}: `{name}` is {dtype}: give numbers that ONNX has, up to 64 bits, or bool")
    if not named and dtype != np.dtype("<f4") and dtype.kind not in "iu":
        raise DataError(f"{where}: `{name}` is {dtype}, not float32: save {name}.astype('float32'), preprocessed")
    if len(shape) < (1 if named else 2) or 0 in shape[: 1 if named else None]:
        raise DataError(f"{where}: `{name}` has shape {tuple(shape)}: give (examples, ...), as in (200, 3, 224, 224)")


def check_values(where: str, name: str, values: NDArray[Any], named: bool) -> None:
    """Whether the numbers of one example are finite, and, unless `named`, exact in float32.

    Raises:
        DataError: they are not.
    """
    if not named and values.dtype.kind != "f" and np.abs(values.astype(np.float64)).max() > _EXACT:
        raise DataError(f"{where}: {name} holds an integer beyond {_EXACT}, which float32 would round")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(f"{where}: {name} holds NaN or infinity: remove it or fix the preprocessing")


def _check_one(
    where: str, archive: zipfile.ZipFile, name: str, named: bool, copy: Path
) -> tuple[dict[str, Any], list[str]]:
    info = archive.getinfo(f"{name}.npy")
    packed = info.compress_type != zipfile.ZIP_STORED
    hashes: list[str] = []
    with ExitStack() as stack:
        stream = stack.enter_context(archive.open(info))
        shape, dtype = header(where, name, stream)
        header_bytes = stream.tell()
        check_type(where, name, shape, dtype, named)
        row_bytes = dtype.itemsize * math.prod(shape[1:])
        if info.file_size != header_bytes + shape[0] * row_bytes:
            raise DataError(f"{where}: `{name}` is cut off or too long for its shape {shape}: write it again")
        out = None
        if packed:
            _make_room(where, copy.parent, info.file_size)
            out = stack.enter_context(stack.enter_context(replacing(copy)).open("wb"))
        for row in range(shape[0]):
            content = stream.read(row_bytes)
            check_values(where, f"{name}[{row}]", np.frombuffer(content, dtype), named)
            hashes.append(hashlib.sha256(content).hexdigest())
            if out is not None:
                out.write(content)
        stream.read(1)  # reaching the end checks the CRC
    about = {
        "copy": [str(copy), stamp(copy)] if packed else None,
        "offset": 0 if packed else _data_start(archive, info) + header_bytes,
        "shape": shape[1:],
        "stored": dtype.str,
        "dtype": dtype.newbyteorder("=").name if named else "float32",
    }
    return about, hashes


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


def kind_of_labels(path: Path, labels: str = LABELS) -> str | None:
    """`none`, `numbers` or `classes`, by the file's directory and one header; None where it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            if f"{labels}.npy" not in archive.namelist():
                return "none"
            with archive.open(f"{labels}.npy") as stream:
                return "numbers" if header(str(path), labels, stream)[1].kind == "f" else "classes"
    except (OSError, zipfile.BadZipFile, NotImplementedError, DataError):  # told by whoever opens it
        return None


def _labels(where: str, archive: zipfile.ZipFile, count: int, name: str) -> NDArray[Any] | None:
    if f"{name}.npy" not in archive.namelist():
        return None
    with archive.open(f"{name}.npy") as stream:
        shape, dtype = header(where, name, stream)
        size = math.prod(shape) * dtype.itemsize
        content = stream.read(size + 1)
    if len(content) != size:
        raise DataError(f"{where}: `{name}` are cut off: write the file again")
    values = np.frombuffer(content, dtype).reshape(shape) if dtype.itemsize else np.empty(shape, dtype)
    return checked(where, name, values, count)
