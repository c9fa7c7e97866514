"""Pictures whose label is a second picture: a data source over them that decodes as it goes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgepipe.contract import Batch, Split
from edgepipe.contract.artifact import canonical_json
from edgepipe.data.decode import Raw, formats
from edgepipe.data.geometry import Frame
from edgepipe.data.pictures import CHUNK_BYTES, CHUNK_PICTURES, frame_of
from edgepipe.data.scaling import normalized
from edgepipe.data.splits import Rows, stratified_order, without_overlap
from edgepipe.data.stream import decoded, regroup, worker_count
from edgepipe.data.views import Views
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.settings import PictureSettings


class Reader(Protocol):
    """Reads labels: bytes in, uint8 of one shape out. Sent to worker processes, so a plain class of plain values."""

    def shape(self, frame: Frame) -> tuple[int, ...]: ...
    def read(self, name: str, raw: Raw, of_picture: Image.Image, frame: Frame) -> NDArray[np.uint8]: ...
    def inputs(self, names: Sequence[str], raws: Sequence[Raw], frame: Frame) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Pairs:
    """Pictures with labels. `hashes`: hex SHA-256 of the pictures, `label_hashes`: of the labels' files."""

    names: Sequence[str]
    label_names: Sequence[str]
    hashes: Sequence[str]
    label_hashes: Sequence[str]
    load: Callable[[int], Raw]
    load_label: Callable[[int], Raw]

    def take(self, rows: Rows) -> Pairs:
        """Those of these rows, in this order."""
        columns = (self.names, self.label_names, self.hashes, self.label_hashes)
        names, label_names, hashes, label_hashes = ([column[row] for row in rows] for column in columns)
        return Pairs(
            names,
            label_names,
            hashes,
            label_hashes,
            lambda row: self.load(int(rows[row])),
            lambda row: self.load_label(int(rows[row])),
        )


class Found(NamedTuple):
    """Two pools, and sentences on what was left out."""

    train: Pairs
    evaluation: Pairs
    notes: tuple[str, ...] = ()


class PairWork(NamedTuple):
    """Pictures with labels, decoded in one go by one worker."""

    names: Sequence[str]
    raws: Sequence[Raw]
    frame: Frame
    label_names: Sequence[str]
    label_raws: Sequence[Raw]
    reader: Reader
    labels_only: bool


def decode_pairs(work: PairWork) -> NDArray[np.uint8]:
    """uint8, (pictures, bytes): each picture as `decode` gives it, then its label, both laid out in a row."""
    labels = [
        work.reader.read(name, raw, _opened(picture_name, picture), work.frame).reshape(-1)
        for name, raw, picture_name, picture in zip(
            work.label_names, work.label_raws, work.names, work.raws, strict=True
        )
    ]
    if work.labels_only:
        return np.stack(labels)
    pixels = work.reader.inputs(work.names, work.raws, work.frame)
    return np.concatenate([pixels.reshape(len(pixels), -1), np.stack(labels)], axis=1)


def _opened(name: str, raw: Raw) -> Image.Image:
    """A picture's header: its pixels are not decoded."""
    if not isinstance(raw, bytes):
        return Image.fromarray(raw)
    try:
        return Image.open(io.BytesIO(raw), formats=formats())
    except Exception as error:
        raise DataError(f"{name}: not a readable picture ({error}): replace or remove it") from error


class PairedSource(Views[Pairs]):
    """Implements `Dataset`: pictures in, labels of one shape, uint8 or what `as_labels` makes of it.

    Labels of a whole split are kept once they were asked for: as many bytes as the split has pixels.
    """

    def __init__(
        self,
        where: str,
        settings: PictureSettings,
        classes: Sequence[str],
        found: Found,
        reader: Reader,
        task: str,
        as_labels: Callable[[NDArray[np.uint8]], NDArray[np.generic]] = lambda labels: labels,
    ) -> None:
        """Draw the splits.

        Raises:
            DataError: too few pictures for what the settings ask, or train and evaluation overlap.
        """
        self._signature = settings.signature(tuple(classes)).model_copy(update={"task": task})
        self.notes = found.notes
        self._reader, self._as_labels = reader, as_labels
        self._frame = frame_of(self._signature.preprocessing)
        self._workers = worker_count(settings.workers)
        train, evaluation, wanted = found.train, found.evaluation, settings.evaluation_size
        if not len(evaluation.names):
            raise DataError(f"{where}: no evaluation pictures, so nothing can be measured: add some")
        if wanted is not None and wanted > len(evaluation.names):
            raise DataError(
                f"{where}: data.evaluation_size={wanted}, but there are {len(evaluation.names)} evaluation pictures: "
                "lower it, or set it to null for all"
            )
        clean = without_overlap(
            where, (train.names, train.hashes), (evaluation.names, evaluation.hashes), settings.on_overlap
        )
        train = train.take(clean)
        if settings.calibration_size > len(train.names):
            raise DataError(
                f"{where}: data.calibration_size={settings.calibration_size}, but there are {len(train.names)} "
                "training pictures to draw from: lower it or add pictures"
            )
        train = train.take(stratified_order(train.hashes, None, settings.seed))
        first = np.arange(settings.calibration_size)
        self._views = {
            Split.TRAIN: train,
            Split.CALIBRATION: train.take(first),
            Split.EVALUATION: evaluation.take(stratified_order(evaluation.hashes, None, settings.seed)[:wanted]),
        }
        self._labels: dict[Split, NDArray[np.uint8]] = {}

    def digest(self, split: Split) -> str:
        """Hex SHA-256 over content, label and order of every picture, how labels are read, and preprocessing."""
        pool = self._views[split]
        parts = [canonical_json(self._signature.model_dump(mode="json")), repr(self._reader)]
        parts += [f"{one} {other}" for one, other in zip(pool.hashes, pool.label_hashes, strict=True)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def labels(self, split: Split) -> NDArray[np.generic]:
        """(count, ...): of all pictures; read once."""
        if split not in self._labels:
            rows, shape = np.arange(self.count(split)), self._reader.shape(self._frame)
            whole = np.empty((len(rows), *shape), np.uint8)
            start = 0
            for chunk in self._stream(split, rows, labels_only=True):
                whole[start : start + len(chunk)] = chunk.reshape(-1, *shape)
                start += len(chunk)
            self._labels[split] = whole
        return self._as_labels(self._labels[split])

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        """Yield preprocessed batches in the order of `indices`; the last one may be smaller.

        Raises:
            DataError: a picture or its label cannot be read; the message names it.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {batch_size}")
        rows = np.arange(self.count(split)) if indices is None else np.asarray(indices, np.intp)
        frame, shape = self._frame, self._reader.shape(self._frame)
        size = frame.height * frame.width * frame.channels
        for chunk in regroup(self._stream(split, rows, labels_only=False), batch_size):
            pixels = chunk[:, :size].reshape(-1, frame.height, frame.width, frame.channels)
            labels = np.ascontiguousarray(chunk[:, size:]).reshape(-1, *shape)
            yield Batch({"input": normalized(pixels, self._signature.preprocessing)}, self._as_labels(labels))

    def _stream(self, split: Split, rows: Rows, *, labels_only: bool) -> Iterator[NDArray[np.uint8]]:
        works = self._works(self._views[split], rows, labels_only)
        return decoded(works, len(rows), self._workers, decode_pairs)

    def _works(self, pool: Pairs, rows: Rows, labels_only: bool) -> Iterator[PairWork]:
        frame = self._frame
        each = frame.height * frame.width * frame.channels + int(np.prod(self._reader.shape(frame)))
        size = max(1, min(CHUNK_PICTURES, CHUNK_BYTES // each))
        for start in range(0, len(rows), size):
            some = [int(row) for row in rows[start : start + size]]
            pictures = [pool.names[row] for row in some], [pool.load(row) for row in some]
            labels = [pool.label_names[row] for row in some], [pool.load_label(row) for row in some]
            yield PairWork(*pictures, frame, *labels, self._reader, labels_only)
