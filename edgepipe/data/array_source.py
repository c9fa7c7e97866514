"""A data source over rows of arrays that need no preprocessing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Batch, Signature, Split, Tensor
from edgepipe.contract.artifact import canonical_json
from edgepipe.data.labels import task_of
from edgepipe.data.splits import Rows


class Examples(Protocol):
    """What examples are read from, one by one."""

    @property
    def tensors(self) -> tuple[Tensor, ...]: ...
    @property
    def labels(self) -> NDArray[Any] | None: ...
    @property
    def hashes(self) -> list[str]: ...
    def read(self, row: int) -> dict[str, NDArray[Any]]: ...


class ArraySource:
    """Implements `Dataset`: each split is some rows of one file or folder, read when they are asked for.

    Args:
        state, steps: as of `Signature`.
    """

    def __init__(
        self,
        views: Mapping[Split, tuple[Examples, Rows]],
        state: Mapping[str, str] | None = None,
        steps: int | None = None,
    ) -> None:
        self._views = views
        examples, _ = views[Split.EVALUATION]
        inputs = tuple(_alike(tensors) for tensors in zip(*(each.tensors for each, _ in views.values()), strict=True))
        self._signature = Signature(inputs=inputs, task=task_of(examples.labels), state=dict(state or {}), steps=steps)

    @property
    def signature(self) -> Signature:
        """Shape of each input; no class names, no preprocessing; the task that the labels are of."""
        return self._signature

    def count(self, split: Split) -> int:
        """Number of examples; 0 when there is no such split."""
        return len(self._views[split][1]) if split in self._views else 0

    def digest(self, split: Split) -> str:
        """Hex SHA-256 over shape, content, label and order of every example."""
        digest = hashlib.sha256(canonical_json(self.signature.model_dump(mode="json")).encode())
        if split in self._views:
            examples, rows = self._views[split]
            for row in rows:
                label = None if examples.labels is None else examples.labels[row].tolist()
                digest.update(f"\n{examples.hashes[row]} {label}".encode())
        return digest.hexdigest()

    def labels(self, split: Split) -> NDArray[Any] | None:
        """As in the file, or None when it has no labels."""
        if split not in self._views:
            return None
        examples, rows = self._views[split]
        return None if examples.labels is None else examples.labels[rows]

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        """Yield batches in the order of `indices`; the last one may be smaller, and one before another shape."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {batch_size}")
        if split not in self._views:
            return
        examples, rows = self._views[split]
        if indices is not None:
            rows = rows[np.asarray(indices, np.intp)]
        held: list[dict[str, NDArray[Any]]] = []
        start = 0
        for place, row in enumerate(rows):
            one = examples.read(int(row))
            if len(held) == batch_size or (held and _shapes(held[-1]) != _shapes(one)):
                yield _batch(held, examples.labels, rows[start:place])
                held, start = [], place
            held.append(one)
        if held:
            yield _batch(held, examples.labels, rows[start:])


def _shapes(example: Mapping[str, NDArray[Any]]) -> list[tuple[int, ...]]:
    return [value.shape for value in example.values()]


def _batch(held: Sequence[Mapping[str, NDArray[Any]]], labels: NDArray[Any] | None, rows: Rows) -> Batch:
    inputs = {name: np.stack([example[name] for example in held]) for name in held[0]}
    return Batch(inputs, None if labels is None else labels[rows])


def _alike(tensors: Sequence[Tensor]) -> Tensor:
    """One tensor for several splits: an axis that differs between them has a name."""
    first = tensors[0]
    shape = tuple(
        sizes[0] if len(set(sizes)) == 1 else f"{first.name}_{axis}"
        for axis, sizes in enumerate(zip(*(item.shape for item in tensors), strict=True))
    )
    return first.model_copy(update={"shape": shape})
