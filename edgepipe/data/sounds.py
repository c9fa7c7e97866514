"""A data source over pools of recordings, each example a part of one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Batch, Signature, Split
from edgepipe.contract.artifact import canonical_json
from edgepipe.data import sound_features
from edgepipe.data.sound_features import prepared
from edgepipe.data.sound_settings import SoundSettings
from edgepipe.data.splits import Rows
from edgepipe.data.views import Views
from edgepipe.errors import DataError

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Sounds:
    """Examples. `hashes`: of each content; `load` gives float32 samples, as many as an example has.

    `labels`: int64, (n,) or (n, steps); None: there are none.
    """

    names: Sequence[str]
    labels: NDArray[np.int64] | None
    hashes: Sequence[str]
    load: Callable[[int], Samples]

    def take(self, rows: Rows) -> Sounds:
        """Those of these rows, in this order."""
        return Sounds(
            [self.names[row] for row in rows],
            None if self.labels is None else self.labels[rows],
            [self.hashes[row] for row in rows],
            lambda row: self.load(int(rows[row])),
        )


class SoundSource(Views[Sounds]):
    """Implements `Dataset`.

    Args:
        views: the examples of each split, in its order.
        notes: sentences for people.
    """

    def __init__(
        self,
        where: str,
        settings: SoundSettings,
        signature: Signature,
        views: dict[Split, Sounds],
        notes: Sequence[str] = (),
    ) -> None:
        if not views[Split.EVALUATION].names:
            raise DataError(f"{where}: no evaluation examples, so nothing can be measured: add some")
        self._settings, self._signature, self._views, self.notes = settings, signature, views, tuple(notes)
        # What a bundle has to hold beside the model: the same code that prepares recordings here.
        self.files = {"sound_features.py": Path(str(sound_features.__file__)).read_bytes()}

    def digest(self, split: Split) -> str:
        """Hex SHA-256 over content, label and order of every example, and how they become inputs."""
        about = [self._signature.model_dump(mode="json"), self._settings.constants]
        digest = hashlib.sha256(canonical_json(about).encode())
        view = self._views[split]
        labels = [None] * len(view.names) if view.labels is None else view.labels.tolist()
        for content, label in zip(view.hashes, labels, strict=True):
            digest.update(f"\n{content} {label}".encode())
        return digest.hexdigest()

    def labels(self, split: Split) -> NDArray[np.int64] | None:
        """int64, (count,) or (count, steps)."""
        labels = self._views[split].labels
        return None if labels is None else labels.copy()

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        """Yield batches in the order of `indices`; the last one may be smaller.

        Raises:
            DataError: a recording cannot be read; the message names it.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {batch_size}")
        view, how = self._views[split], self._settings.sound.model_dump()
        rows = np.arange(len(view.names)) if indices is None else np.asarray(indices, np.intp)
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            inputs: dict[str, NDArray[Any]] = {
                self._settings.input: np.stack([prepared(view.load(int(row)), how) for row in part])
            }
            for tensor in self._signature.inputs[1:]:
                inputs[tensor.name] = np.full(len(part), self._settings.constants[tensor.name], tensor.dtype)
            yield Batch(inputs, None if view.labels is None else view.labels[part])
