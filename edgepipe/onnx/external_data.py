"""Weights that lie in files beside an ONNX file: found, checked and read, for the file that names them is untrusted.

A location is a relative name beside the model. The hub's caches hold links (`snapshots/REVISION/model.onnx` to
`blobs/HASH`, `model.onnx_data` to another blob): a link is followed where it ends in the model's own folder, or in the
one that the model itself, being a link, ends in.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from edgepipe.base.files import is_file
from edgepipe.errors import ModelError
from edgepipe.onnx.messages import messages
from edgepipe.onnx.written import LARGEST_BYTES, too_large

if TYPE_CHECKING:
    import onnx

_PACKED = {"UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2}
"""Bits of an element of the types that share bytes."""


@dataclass(frozen=True)
class Place:
    """Where the bytes of a tensor lie.

    Attributes:
        name: as the model says it.
        file: links resolved.
        offset, length: bytes.
    """

    tensor: onnx.TensorProto
    name: str
    file: Path
    offset: int
    length: int


def places(network: onnx.ModelProto, path: Path) -> list[Place]:
    """The places of every tensor whose bytes lie in another file, each one allowed and long enough.

    Args:
        path: of the model, as the user gave it.
    Raises:
        ModelError: one points elsewhere, is missing or too short, or all together are more than one file holds.
    """
    from onnx import TensorProto

    found = [
        _place(tensor, path)
        for tensor in messages(network, TensorProto)
        if tensor.data_location == TensorProto.EXTERNAL
    ]
    total = sum(place.length for place in found)
    if total > LARGEST_BYTES:
        raise ModelError(f"model.path: {path}: {too_large(total)}")
    return found


def read(found: list[Place]) -> None:
    """Put the bytes into the tensors, in place; none lies elsewhere then."""
    from onnx import TensorProto

    for place in found:
        with place.file.open("rb") as file:
            file.seek(place.offset)
            place.tensor.raw_data = file.read(place.length)
        place.tensor.data_location = TensorProto.DEFAULT
        del place.tensor.external_data[:]


def _place(tensor: onnx.TensorProto, path: Path) -> Place:
    entry = {item.key: item.value for item in tensor.external_data}
    name = entry.get("location", "")
    file = _file(tensor.name, name, path)
    what = f"model.path: {path}: external data: tensor '{tensor.name}'"
    needed = bytes_of(tensor)
    if needed is None:
        raise ModelError(f"{what} has a type or shape that no file holds: {tensor.data_type}, {list(tensor.dims)}")
    try:
        offset, length = int(entry.get("offset") or 0), int(entry.get("length") or needed)
    except ValueError:
        raise ModelError(f"{what} has no readable offset or length") from None
    if length != needed:
        raise ModelError(f"{what} takes {needed:,} bytes by its shape and type, and its entry says {length:,}")
    if offset < 0 or offset + length > file.stat().st_size:
        raise ModelError(f"{what} reaches past the end of {name}")
    return Place(tensor, name, file, offset, length)


def _file(tensor: str, name: str, path: Path) -> Path:
    """The file of a location, links resolved.

    Raises:
        ModelError: it is missing, or is none that the model may read.
    """
    what = f"model.path: {path}: external data: tensor '{tensor}' points outside the model's folder"
    plain = PureWindowsPath(name)  # knows both separators, and drives
    if not name or "\0" in name or plain.drive or plain.root or ".." in plain.parts:
        raise ModelError(f"{what}: '{name}'")
    hops = list(_hops(path))
    beside = [hop.parent / name for hop in hops]
    place = next((one for one in beside if os.path.lexists(one)), beside[0])
    file = place.resolve()
    homes = (path.parent.resolve(), path.resolve().parent)
    if not any(file.is_relative_to(home) for home in homes):
        raise ModelError(f"{what}: '{name}' is a link to {file}")
    if not is_file(file):
        raise ModelError(f"model.path: {path}: its external data file {place} is missing: copy it beside the model")
    return file


def _hops(path: Path) -> Iterator[Path]:
    """The path and, where it is a link, what it points at, to the end."""
    yield path
    for _ in range(40):  # the system follows no more
        if not path.is_symlink():
            return
        path = path.parent / path.readlink()
        yield path


def bytes_of(tensor: onnx.TensorProto) -> int | None:
    """Of a tensor's elements, by its type and shape; None: there is no such number."""
    from onnx import TensorProto, helper

    if min(tensor.dims, default=0) < 0 or tensor.data_type in (TensorProto.STRING, TensorProto.UNDEFINED):
        return None
    try:
        kind = TensorProto.DataType.Name(tensor.data_type)
        bits = _PACKED.get(kind) or 8 * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except (KeyError, ValueError):
        return None
    return (math.prod(int(size) for size in tensor.dims) * bits + 7) // 8
