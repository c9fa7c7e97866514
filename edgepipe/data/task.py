"""Data whose task the recipe states, where the data cannot tell it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from edgepipe.contract import Batch, Dataset, Signature, Split


def with_task(data: Dataset, task: str | None) -> Dataset:
    """The data, its signature naming `task`; None: as the data says itself."""
    return data if task is None or task == data.signature.task else _Tasked(data, task)


class _Tasked:
    """Implements `Dataset` around another one."""

    def __init__(self, data: Dataset, task: str) -> None:
        self._data, self._task = data, task
        self.notes: tuple[str, ...] = getattr(data, "notes", ())
        self.files: dict[str, bytes] = getattr(data, "files", {})

    @property
    def signature(self) -> Signature:
        return self._data.signature.model_copy(update={"task": self._task})

    def count(self, split: Split) -> int:
        return self._data.count(split)

    def digest(self, split: Split) -> str:
        return hashlib.sha256(f"{self._task} {self._data.digest(split)}".encode()).hexdigest()

    def labels(self, split: Split) -> NDArray[Any] | None:
        return self._data.labels(split)

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        return self._data.batches(split, batch_size, indices)
