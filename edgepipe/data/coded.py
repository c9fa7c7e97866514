"""Data of a third party's source: the code that opens it is part of its digest, as edgepipe's own is of every key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgepipe.contract import Batch, Dataset, DataSource, Signature, Split
from edgepipe.store.digests import code_digest, library_versions


def opened(source: DataSource, cache: Path) -> Dataset:
    """What a source opens; another version of a third party's code is other data.

    Raises:
        DataError: as `DataSource.open`.
    """
    data = source.open(cache)
    return data if type(source).__module__.startswith("edgepipe.") else _Coded(data, source)


class _Coded:
    """Implements `Dataset` around another one."""

    def __init__(self, data: Dataset, source: DataSource) -> None:
        self._data = data
        self._code = f"{code_digest(type(source))} {library_versions(source.libraries)}"
        self.notes: tuple[str, ...] = getattr(data, "notes", ())
        self.files: dict[str, bytes] = getattr(data, "files", {})

    @property
    def signature(self) -> Signature:
        return self._data.signature

    def count(self, split: Split) -> int:
        return self._data.count(split)

    def digest(self, split: Split) -> str:
        return hashlib.sha256(f"{self._code} {self._data.digest(split)}".encode()).hexdigest()

    def labels(self, split: Split) -> NDArray[Any] | None:
        return self._data.labels(split)

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        return self._data.batches(split, batch_size, indices)
