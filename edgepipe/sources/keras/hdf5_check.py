"""What an HDF5 file may hold before Keras loads it: its own arrays, of no more than it could have stored honestly.

A link may lead into another file, an array's bytes may lie in any file of the machine or be put together from several,
and a chunk of zeros unpacks to a thousand times its size.
"""

from __future__ import annotations

from typing import Any

from edgepipe.base.files import MOST_RATIO, MOST_UNPACKED
from edgepipe.errors import ModelError

_MOST_OBJECTS = 200_000


def check(file: Any, size: int, what: str) -> None:
    """Refuse what reads other files, or unpacks to too much; no array is read.

    Args:
        file: an open `h5py.File`.
        size: of the file, in bytes.
        what: names the file in messages.
    Raises:
        ModelError: names the place in the file.
    """
    import h5py

    waiting, seen, total = [file], {h5py.h5o.get_info(file.id).addr}, 0
    while waiting:
        group = waiting.pop()
        for name in group:
            place = f"{group.name.rstrip('/')}/{name}"
            if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                raise ModelError(f"{what}: {place}: a link to another file, which no model needs: save the model whole")
            item = group.get(name)
            address = None if item is None else h5py.h5o.get_info(item.id).addr
            if item is None or address in seen:
                continue  # a link to nothing, or to what was looked at
            seen.add(address)
            if len(seen) > _MOST_OBJECTS:
                raise ModelError(f"{what}: holds more than {_MOST_OBJECTS:,} groups and arrays: no model has so many")
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise ModelError(f"{what}: {place}: its bytes lie in other files: save the model whole")
                total += item.size * item.dtype.itemsize if item.size is not None else 0
    if total > max(MOST_UNPACKED, MOST_RATIO * size):
        raise ModelError(f"{what}: {size:,} bytes unpack to {total:,}, as in a decompression bomb: refused")
