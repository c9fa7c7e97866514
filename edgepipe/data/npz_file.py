"""Small .npz files read whole; those of a recipe's data are read row by row in `edgepipe.data.arrays`."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.files import is_file, unpacks_to_too_much
from edgepipe.errors import DataError


def read_npz(
    path: Path, names: Iterable[str] | None = None, where: str | None = None, labels: str | None = None
) -> dict[str, NDArray[Any]]:
    """Those of the named arrays that the file has: numbers, of any shape.

    Args:
        names: None: all.
        where: how messages name the file; its path unless given.
        labels: name of the array that may be of texts, too.

    Raises:
        DataError: it is missing, no .npz, damaged, or one of them is not made of numbers.
    """
    where = where or str(path)
    if not is_file(path):
        raise DataError(f"{where}: no such file")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{where}: not an .npz file: write it with numpy.savez")
    bomb = unpacks_to_too_much(path)
    if bomb is not None:
        raise DataError(f"{where}: {bomb}: refused")
    found: dict[str, NDArray[Any]] = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for name in (name for name in (arrays.files if names is None else names) if name in arrays.files):
                found[name] = arrays[name]
    except Exception as error:  # numpy, zipfile and zlib raise what they happen to stumble over
        said = " ".join(str(error).split())
        if "pickle" in said:
            said = "it holds Python objects, which can run code when loaded: save plain numbers"
        raise DataError(f"{where}: cannot be read: {said}") from error
    for name, array in found.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in ("biufU" if name == labels else "biuf"):
            raise DataError(f"{where}: `{name}` holds no numbers, but {getattr(array, 'dtype', 'bytes')}")
    return found
