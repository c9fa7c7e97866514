"""A data source over two pools of pictures: splits, digests, and batches that decode as they go."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Batch, Preprocessing, Split
from edgepipe.contract.artifact import canonical_json
from edgepipe.data.decode import Raw, Work
from edgepipe.data.geometry import Frame
from edgepipe.data.scaling import normalized
from edgepipe.data.settings import PictureSettings
from edgepipe.data.splits import Rows, stratified_order, without_overlap
from edgepipe.data.stream import decoded, regroup, worker_count
from edgepipe.data.views import Views
from edgepipe.errors import DataError

CHUNK_PICTURES = 64
CHUNK_BYTES = 4 << 20  # of decoded pixels: what one message from a worker may hold


@dataclass(frozen=True)
class Pool:
    """Pictures that may be drawn from. `hashes`: hex SHA-256 of each content; `load` gives one raw picture."""

    names: Sequence[str]
    labels: NDArray[np.int64]
    hashes: Sequence[str]
    load: Callable[[int], Raw]

    def take(self, rows: Rows) -> Pool:
        """The pool of these rows, in this order."""
        return Pool(
            [self.names[row] for row in rows],
            self.labels[rows],
            [self.hashes[row] for row in rows],
            lambda row: self.load(int(rows[row])),
        )


class PictureSource(Views[Pool]):
    """Implements `Dataset`. Every split is shuffled by seed, so that any prefix holds all classes alike."""

    def __init__(
        self,
        where: str,
        settings: PictureSettings,
        classes: Sequence[str],
        train: Pool,
        evaluation: Pool,
        notes: Sequence[str] = (),
    ) -> None:
        """Draw the splits.

        Args:
            notes: sentences on what was left out, for people.

        Raises:
            DataError: too few pictures for what the settings ask, or train and evaluation overlap.
        """
        self._signature = settings.signature(tuple(classes))
        self.notes = tuple(notes)
        self._workers = worker_count(settings.workers)
        wanted = settings.evaluation_size
        if not len(evaluation.names):
            raise DataError(f"{where}: no evaluation pictures, so nothing can be measured: add some")
        if wanted is not None and wanted > len(evaluation.names):
            raise DataError(
                f"{where}: data.evaluation_size={wanted}, but there are {len(evaluation.names)} evaluation pictures: "
                "lower it, or set it to null for all"
            )
        # The whole evaluation pool counts: which part of it is drawn must not decide what is clean.
        clean = without_overlap(
            where, (train.names, train.hashes), (evaluation.names, evaluation.hashes), settings.on_overlap
        )
        if len(clean) < len(train.names):
            train = train.take(clean)
        if settings.calibration_size > len(train.names):
            raise DataError(
                f"{where}: data.calibration_size={settings.calibration_size}, but there are {len(train.names)} "
                "training pictures to draw from: lower it or add pictures"
            )
        train = train.take(stratified_order(train.hashes, train.labels, settings.seed))
        order = stratified_order(evaluation.hashes, evaluation.labels, settings.seed)
        self._views = {
            Split.TRAIN: train,
            Split.CALIBRATION: train.take(np.arange(settings.calibration_size)),
            Split.EVALUATION: evaluation.take(order[:wanted]),
        }
        self._digests: dict[Split, str] = {}

    def digest(self, split: Split) -> str:
        """Hex SHA-256 over content, label and order of every picture, class names and preprocessing."""
        if split not in self._digests:
            pool = self._views[split]
            digest = hashlib.sha256(canonical_json(self._signature.model_dump(mode="json")).encode())
            digest.update(
                "".join(
                    f"\n{text} {label}" for text, label in zip(pool.hashes, pool.labels.tolist(), strict=True)
                ).encode()
            )
            self._digests[split] = digest.hexdigest()
        return self._digests[split]

    def labels(self, split: Split) -> NDArray[np.int64]:
        """int64, (count,): index into the sorted class names."""
        return self._views[split].labels.copy()

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        """Yield preprocessed batches in the order of `indices`; the last one may be smaller.

        Raises:
            DataError: a picture cannot be read; the message names it.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {batch_size}")
        pool = self._views[split]
        rows = np.arange(len(pool.names)) if indices is None else np.asarray(indices, np.intp)
        preprocessing = self._signature.preprocessing
        frame = frame_of(preprocessing)
        start = 0
        for pixels in regroup(decoded(_works(pool, rows, frame), len(rows), self._workers), batch_size):
            yield Batch({"input": normalized(pixels, preprocessing)}, pool.labels[rows[start : start + len(pixels)]])
            start += len(pixels)


def frame_of(about: Preprocessing) -> Frame:
    """The form that pictures of this preprocessing are brought into."""
    assert about.image_size is not None and about.channels is not None
    height, width = about.image_size
    how = (about.interpolation, about.fit, about.fill, about.order, about.crop_share)
    return Frame(height, width, about.channels, *how)


def _works(pool: Pool, rows: Rows, frame: Frame) -> Iterator[Work]:
    size = max(1, min(CHUNK_PICTURES, CHUNK_BYTES // (frame.height * frame.width * frame.channels)))
    for start in range(0, len(rows), size):
        some = [int(row) for row in rows[start : start + size]]
        yield Work([pool.names[row] for row in some], [pool.load(row) for row in some], frame)
