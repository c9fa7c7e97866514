"""A folder of .npz files, one example each: the way to give examples of different shape."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Tensor
from edgepipe.data.arrays import LABELS, check_type, check_values, chosen
from edgepipe.data.hashes import cache_file, recall, remember, stamp
from edgepipe.data.labels import checked
from edgepipe.data.npz_file import read_npz
from edgepipe.errors import DataError

_Found = tuple[str, dict[str, list[Any]], list[Any] | None]
"""Of a file: its hash, by input type and shape, and its label."""


@dataclass(frozen=True)
class ExampleFolder:
    """As `Arrays`; an axis of `tensors` that differs between examples has a name, as "images_1"."""

    files: Sequence[Path]
    names: Mapping[str, str]
    tensors: tuple[Tensor, ...]
    labels: NDArray[Any] | None
    hashes: list[str]

    def read(self, row: int) -> dict[str, NDArray[Any]]:
        """One example, by input."""
        found = read_npz(self.files[row], self.names)
        kinds = {item.name: item.dtype for item in self.tensors}
        return {given: found[name].astype(kinds[given], copy=False) for name, given in self.names.items()}


def open_folder(
    key: str, path: Path, cache: Path, trust_stat: bool, inputs: Sequence[str] | None = None, labels: str = LABELS
) -> ExampleFolder:
    """Open and check all .npz files of a folder, in the order of their names; arguments as for `open_arrays`.

    Raises:
        DataError: there are none, or one has other arrays, other types or another number of axes than the first.
    """
    where = f"{key}={path}"
    files = sorted(file for file in path.iterdir() if file.suffix == ".npz" and not file.name.startswith("."))
    if not files:
        raise DataError(f"{where}: no .npz file in it: give one for each example, or one file of all")
    memory = cache_file(cache, "npz-folder", path)
    about = {"stamps": {file.name: stamp(file) for file in files}, "wanted": [*(inputs or ()), labels]}
    known = recall(memory) if trust_stat else None
    if not isinstance(known, dict) or any(known.get(name) != value for name, value in about.items()):
        names = _names(where, files[0], inputs, labels)
        known = {**about, "names": names, "found": list(_checked(where, files, names, labels))}
        remember(memory, known)
    found: list[_Found] = [tuple(item) for item in known["found"]]
    given = [label for _, _, label in found if label is not None]
    if given and len(given) < len(found):
        lacking = next(file.name for file, item in zip(files, found, strict=True) if item[2] is None)
        raise DataError(f"{where}: {lacking} has no `{labels}`, and others have: give all of them one, or none")
    values = None if not given else checked(where, labels, np.array(given), len(found))
    tensors = tuple(_tensor(name, [item[1][name] for item in found]) for name in found[0][1])
    return ExampleFolder(files, known["names"], tensors, values, [item[0] for item in found])


def _names(where: str, file: Path, inputs: Sequence[str] | None, labels: str) -> dict[str, str]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            there = list(archive.files)
    except Exception as error:  # numpy, zipfile and zlib raise what they happen to stumble over
        raise DataError(f"{where}: {file.name}: not a readable .npz ({error}): write it with numpy.savez") from error
    return chosen(f"{where}: {file.name}", there, inputs, labels)


def _checked(where: str, files: Sequence[Path], names: Mapping[str, str], labels: str) -> Iterator[_Found]:
    first: dict[str, list[Any]] | None = None
    for file in files:
        place = f"{where}: {file.name}"
        arrays = read_npz(file, [*names, labels], place, labels)
        digest, about = hashlib.sha256(), {}
        for name, given in names.items():
            if name not in arrays:
                raise DataError(f"{place}: no array `{name}` in it, which {files[0].name} has")
            value = np.ascontiguousarray(arrays[name])
            check_type(place, name, (1, *value.shape), value.dtype, named=given == name)
            check_values(place, name, value, named=given == name)
            kind = value.dtype.newbyteorder("=").name if given == name else "float32"
            about[given] = [kind, list(value.shape)]
            if first is not None and (first[given][0], len(first[given][1])) != (kind, value.ndim):
                raise DataError(
                    f"{place}: `{name}` is {kind} of {value.ndim} axes, but {first[given][0]} of "
                    f"{len(first[given][1])} in {files[0].name}: only their lengths may differ"
                )
            digest.update(f"{name} {kind} {value.shape}\n".encode() + value.tobytes())
        first = first or about
        label = arrays.get(labels)
        yield digest.hexdigest(), about, None if label is None else label.tolist()


def _tensor(name: str, found: Sequence[list[Any]]) -> Tensor:
    axes = zip(*(shape for _, shape in found), strict=True)
    shape = tuple(sizes[0] if len(set(sizes)) == 1 else f"{name}_{axis}" for axis, sizes in enumerate(axes))
    return Tensor(name=name, dtype=found[0][0], shape=shape)
