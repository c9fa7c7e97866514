"""A data source over rows of arrays that need no preprocessing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Batch, Signature, Split, Tensor
from edgepipe.contract.artifact import canonical_json
from edgepipe.data.arrays import Arrays
from edgepipe.data.splits import Rows


class ArraySource:
    """Implements `Dataset`: each split is some rows of one file, read when they are asked for."""

    def __init__(self, views: Mapping[Split, tuple[Arrays, Rows]]) -> None:
        self._views = views

    @property
    def signature(self) -> Signature:
        """Input shape; no class names, no preprocessing; numbers as labels mean a regression."""
        arrays, _ = self._views[Split.EVALUATION]
        numbers = arrays.labels is not None and arrays.labels.dtype.kind == "f"
        task = "regression" if numbers else "classification"
        return Signature(inputs=(Tensor(name="input", shape=arrays.shape),), task=task)

    def count(self, split: Split) -> int:
        """Number of examples; 0 when there is no such split."""
        return len(self._views[split][1]) if split in self._views else 0

    def digest(self, split: Split) -> str:
        """Hex SHA-256 over shape, content, label and order of every example."""
        digest = hashlib.sha256(canonical_json(self.signature.model_dump(mode="json")).encode())
        if split in self._views:
            arrays, rows = self._views[split]
            for row in rows:
                label = None if arrays.labels is None else arrays.labels[row].tolist()
                digest.update(f"\n{arrays.hashes[row]} {label}".encode())
        return digest.hexdigest()

    def labels(self, split: Split) -> NDArray[Any] | None:
        """As in the file, or None when it has no labels."""
        if split not in self._views:
            return None
        arrays, rows = self._views[split]
        return None if arrays.labels is None else arrays.labels[rows]

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        """Yield batches in the order of `indices`; the last one may be smaller."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {batch_size}")
        if split not in self._views:
            return
        arrays, rows = self._views[split]
        if indices is not None:
            rows = rows[np.asarray(indices, np.intp)]
        for start in range(0, len(rows), batch_size):
            some = rows[start : start + batch_size]
            inputs = np.stack([arrays.read(int(row)) for row in some])
            yield Batch({"input": inputs}, None if arrays.labels is None else arrays.labels[some])
