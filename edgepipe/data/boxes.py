"""Pictures with boxes as a data set: boxes of the files become boxes of the input; splits as of all pictures."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgepipe.base.text import printable
from edgepipe.contract import Batch, Dataset, Signature, Split
from edgepipe.data.box_settings import TASK, BoxSettings
from edgepipe.data.decode import MAX_PIXELS, formats, upright
from edgepipe.data.geometry import Frame, placement, to_frame
from edgepipe.data.hashes import cache_file, recall, remember
from edgepipe.data.listing import Listing
from edgepipe.data.pictures import PictureSource, Pool, frame_of
from edgepipe.data.splits import hold_out
from edgepipe.errors import DataError

MOST_BOXES = 5_000
"""Of one picture: whoever has more wants to fill memory."""
_SEEN = 0.5
"""Share of a box that must lie in the input for it to be wanted; others are ignored."""


@dataclass
class Annotated:
    """A picture as its annotation says.

    Attributes:
        file: of the annotation, for messages.
        boxes: rows x1, y1, x2, y2, class, ignored in pixels of the picture; in shares of its sides where `shares`.
        size: (width, height) that the annotation states; None: it does not.
    """

    file: str
    boxes: list[tuple[float, float, float, float, int, int]] = field(default_factory=list)
    size: tuple[int, int] | None = None
    shares: bool = False

    def add(self, where: str, corners: Sequence[float], label: int, ignored: bool) -> None:
        """Add a box.

        Raises:
            DataError: it has no sides, or the picture has too many; `where` names the line or the entry.
        """
        x1, y1, x2, y2 = (float(value) for value in corners)
        if not all(abs(value) < 1e7 for value in (x1, y1, x2, y2)):
            raise DataError(f"{where}: a box from {x1:g},{y1:g} to {x2:g},{y2:g}: correct it")
        if len(self.boxes) >= MOST_BOXES:
            raise DataError(f"{where}: more than {MOST_BOXES:,} boxes for one picture: refused")
        if x2 > x1 and y2 > y1:
            self.boxes.append((x1, y1, x2, y2, label, int(ignored)))
        elif x2 < x1 or y2 < y1:
            raise DataError(f"{where}: a box from {x1:g},{y1:g} to {x2:g},{y2:g} is turned inside out: correct it")


@dataclass(frozen=True)
class Splits:
    """Pictures by path, of each split; `evaluation` empty: to be held out. `notes`: sentences for people."""

    train: Mapping[str, Annotated]
    evaluation: Mapping[str, Annotated]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def opened(settings: BoxSettings, listing: Listing, found: Splits, cache: Path) -> Dataset:
    """The data set of these pictures.

    Raises:
        DataError: there are none, an annotation is of another picture, or splits overlap.
    """
    where = f"data.root={settings.root}"
    if not found.train and not found.evaluation:
        raise DataError(f"{where}: no picture has an annotation: check that their names are those of the pictures")
    names = sorted({*found.train, *found.evaluation})
    known = _sizes(listing, names, cache_file(cache, "sizes", settings.root))
    about = settings.preprocessing
    frame = frame_of(about)
    boxes: dict[str, NDArray[np.float32]] = {}
    for part in (found.train, found.evaluation):
        boxes |= {name: _in_frame(name, item, known[name], frame) for name, item in part.items()}
    pools = [_pool(listing, boxes, sorted(part)) for part in (found.train, found.evaluation)]
    if not found.evaluation:
        count = max(1, round(settings.evaluation_share * len(pools[0].names)))
        kept, held = hold_out(pools[0].hashes, pools[0].labels, settings.seed, count)
        pools = [pools[0].take(kept), pools[0].take(held)]
    left = listing.note()
    notes = (*found.notes, *([f"data.root: {left}"] if left else []))
    return BoxSource(where, settings, found.classes, pools, boxes, notes)


def _pool(listing: Listing, boxes: Mapping[str, NDArray[np.float32]], names: list[str]) -> Pool:
    """Drawn by the class that is rarest of those in a picture, so that every split has some of it."""
    counts: dict[int, int] = {}
    labels = [sorted({int(each) for each in boxes[name][:, 4].tolist()}) for name in names]
    for each in labels:
        for label in each:
            counts[label] = counts.get(label, 0) + 1
    rarest = [min(each, key=lambda label: (counts[label], label)) if each else -1 for each in labels]
    return Pool(
        names,
        np.array(rarest, np.int64),
        [listing.hashes[name] for name in names],
        lambda row: listing.read(names[row]),
    )


def _in_frame(name: str, item: Annotated, size: tuple[int, int], frame: Frame) -> NDArray[np.float32]:
    """float32, (k, 6), in pixels of the input, cut to it."""
    if item.size is not None and item.size != size:
        width, height = item.size
        turned = " (it is turned by its EXIF orientation)" if item.size == size[::-1] else ""
        raise DataError(
            f"{printable(item.file)}: says {width}x{height} pixels, and {printable(name)} has {size[0]}x{size[1]}"
            f"{turned}: boxes are of another picture; annotate this one, or bring the other back"
        )
    if not item.boxes:
        return np.zeros((0, 6), np.float32)
    table = np.array(item.boxes, np.float64)
    if item.shares:
        table[:, :4] *= [*size, *size]
    corners = to_frame(table[:, :4], placement(*size, frame)).astype(np.float64)
    cut = corners.clip(0, [frame.width, frame.height] * 2)
    areas = [(each[:, 2:] - each[:, :2]).prod(1) for each in (cut, corners)]
    share = areas[0] / np.maximum(areas[1], 1e-9)
    ignored = np.where(share < _SEEN, 1, table[:, 5])
    found = np.concatenate([cut, table[:, 4:5], ignored[:, None]], 1)
    return np.asarray(found[areas[0] > 0], np.float32)


def _sizes(listing: Listing, names: list[str], file: Path) -> dict[str, tuple[int, int]]:
    """(width, height) of each picture as the camera was held, remembered by its content."""
    known = recall(file)
    known = known if isinstance(known, dict) else {}
    fresh = sorted({listing.hashes[name]: name for name in names if listing.hashes[name] not in known}.items())

    def one(name: str) -> list[int]:
        return list(size_of(name, listing.read(name)))

    if fresh:
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(one, [name for _, name in fresh]))
        known |= {text: size for (text, _), size in zip(fresh, found, strict=True)}
        remember(file, known)
    return {name: (int(known[listing.hashes[name]][0]), int(known[listing.hashes[name]][1])) for name in names}


def size_of(name: str, raw: bytes) -> tuple[int, int]:
    """(width, height) of an encoded picture as the camera was held; of a JPEG its header is enough.

    Raises:
        DataError: it is no picture.
    """
    try:
        with Image.open(io.BytesIO(raw), formats=formats()) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise DataError(f"{printable(name)}: {picture.width}x{picture.height} pixels: more than {MAX_PIXELS}")
            if picture.format == "JPEG":
                turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
                return (picture.height, picture.width) if turned else picture.size
            return upright(picture).size
    except DataError:
        raise
    except Exception as error:  # Pillow's parsers raise anything on hostile bytes
        raise DataError(f"{printable(name)}: not a readable picture ({error}): replace or remove it") from error


class BoxSource(PictureSource):
    """Implements `Dataset`; labels are float32, (n, most, 6): x1, y1, x2, y2 in pixels of the input, class, ignored."""

    def __init__(
        self,
        where: str,
        settings: BoxSettings,
        classes: Sequence[str],
        pools: Sequence[Pool],
        boxes: Mapping[str, NDArray[np.float32]],
        notes: Sequence[str],
    ) -> None:
        """Draw the splits; `boxes`: by name, (k, 6) each.

        Raises:
            DataError: as `PictureSource`.
        """
        super().__init__(where, settings, classes, pools[0], pools[1], notes)
        self._signature = self._signature.model_copy(update={"task": TASK})
        self._boxes = boxes
        names = {split: self._views[split].names for split in Split}
        self._most = {split: max((len(boxes[name]) for name in names[split]), default=0) or 1 for split in Split}

    @property
    def signature(self) -> Signature:
        """Input shape (channels, height, width), class names, preprocessing and task."""
        return self._signature

    def digest(self, split: Split) -> str:
        """As of `PictureSource`, the boxes included."""
        digest = hashlib.sha256(super().digest(split).encode())
        for name in self._views[split].names:
            digest.update(self._boxes[name].tobytes() + b"\n")
        return digest.hexdigest()

    def labels(self, split: Split) -> NDArray[Any]:
        """float32, (count, most, 6); rows of class -1 fill up."""
        return self._table(split, self._views[split].names)

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        """As of `PictureSource`, with boxes as labels."""
        names = self._views[split].names
        rows = range(len(names)) if indices is None else indices
        start = 0
        for batch in super().batches(split, batch_size, indices):
            some = [names[int(row)] for row in rows[start : start + len(batch)]]
            start += len(batch)
            yield replace(batch, labels=self._table(split, some))

    def _table(self, split: Split, names: Sequence[str]) -> NDArray[np.float32]:
        table = np.zeros((len(names), self._most[split], 6), np.float32)
        table[..., 4] = -1
        for row, name in enumerate(names):
            mine = self._boxes[name]
            table[row, : len(mine)] = mine
        return table
