"""A data source over two pools of pictures of lines, each with its text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Batch, Preprocessing, Split
from edgepipe.contract.artifact import canonical_json
from edgepipe.data.decode import Raw, Work
from edgepipe.data.geometry import LINE_FREE, LINE_STEP
from edgepipe.data.line_settings import LineSettings
from edgepipe.data.pictures import frame_of
from edgepipe.data.scaling import normalized
from edgepipe.data.splits import Rows
from edgepipe.data.stream import decoded, worker_count
from edgepipe.data.views import Views
from edgepipe.errors import DataError


@dataclass(frozen=True)
class Lines:
    """Pictures and their texts. `hashes`: hex SHA-256 of each picture's content; `load` gives one raw picture."""

    names: Sequence[str]
    texts: Sequence[str]
    hashes: Sequence[str]
    load: Callable[[int], Raw]

    def take(self, rows: Rows) -> Lines:
        """Those of these rows, in this order."""
        return Lines(
            [self.names[row] for row in rows],
            [self.texts[row] for row in rows],
            [self.hashes[row] for row in rows],
            lambda row: self.load(int(rows[row])),
        )


class LineSource(Views[Lines]):
    """Implements `Dataset`. Consecutive lines of one width make a batch; lines of free width differ from each other.

    Args:
        views: the lines of each split, in its order.
        notes: sentences on what was left out, for people.
    """

    def __init__(
        self, where: str, settings: LineSettings, views: dict[Split, Lines], notes: Sequence[str] = ()
    ) -> None:
        for split, lines in views.items():
            if not lines.names and split is Split.EVALUATION:
                raise DataError(f"{where}: no evaluation lines, so nothing can be measured: add some")
        self._signature = settings.signature(free=settings.longer == "keep")
        self._views, self.notes, self._workers = views, tuple(notes), worker_count(settings.workers)

    def digest(self, split: Split) -> str:
        """Hex SHA-256 over content, text and order of every line, and the preprocessing."""
        digest = hashlib.sha256(canonical_json(self._signature.model_dump(mode="json")).encode())
        lines = self._views[split]
        for text, content in zip(lines.texts, lines.hashes, strict=True):
            digest.update(f"\n{content} {json.dumps(text)}".encode())
        return digest.hexdigest()

    def labels(self, split: Split) -> NDArray[np.str_]:
        """Texts, (count,)."""
        return np.array(self._views[split].texts, dtype=np.str_)

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        """Yield preprocessed batches in the order of `indices`; one before another width may be smaller.

        Raises:
            DataError: a picture cannot be read; the message names it.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {batch_size}")
        lines, about = self._views[split], self._signature.preprocessing
        rows = list(range(len(lines.names))) if indices is None else [int(row) for row in indices]
        frame = frame_of(about)
        works = (Work([lines.names[row]], [lines.load(row)], frame) for row in rows)
        labels = self.labels(split)
        held: list[NDArray[np.float32]] = []
        start = 0
        for place, pixels in enumerate(decoded(works, len(rows), self._workers)):
            one = prepared(pixels, about)
            if len(held) == batch_size or (held and held[-1].shape != one.shape):
                yield Batch({"input": np.concatenate(held)}, labels[rows[start:place]])
                held, start = [], place
            held.append(one)
        if held:
            yield Batch({"input": np.concatenate(held)}, labels[rows[start:]])


def prepared(pixels: NDArray[np.uint8], about: Preprocessing) -> NDArray[np.float32]:
    """One line as the network takes it: float32, (1, channels, height, width), what is free at the right 0.

    Args:
        pixels: uint8, (1, height, width, channels), resized.
    """
    assert about.image_size is not None
    found, width = normalized(pixels, about), about.image_size[1]
    if about.fit == LINE_FREE and found.shape[3] > width:
        width = -(-found.shape[3] // LINE_STEP) * LINE_STEP
    return np.pad(found, ((0, 0), (0, 0), (0, 0), (0, width - found.shape[3])))
