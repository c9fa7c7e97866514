"""Draws shapes, their masks and their boxes from seed and number alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Batch, Signature, Split
from edgepipe.contract.artifact import canonical_json
from edgepipe.data.scaling import normalized
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.drawn_shapes import DrawnSettings

_VERSION = 1
"""Of the drawing: another one is other data."""
_LEAST_SIDE = 32
MOST_SHAPES = 5
_TRIES = 20
_KINDS = 3


class Drawn(NamedTuple):
    """uint8 pixels, (height, width, 3); uint8 mask, 0 the ground; boxes, float32 (MOST_SHAPES, 6), class -1: none."""

    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    boxes: NDArray[np.float32]


def draw(seed: int, evaluation: bool, number: int, height: int, width: int) -> Drawn:
    """One picture, the same each time: shapes of other brightness than the ground, hardly over each other."""
    rng = np.random.default_rng([_VERSION, seed, int(evaluation), number])
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    ground = rng.uniform(60, 190, 3)
    slope = rng.uniform(-40, 40, (2, 3))
    picture = ground + slope[0] * (y / height)[..., None] + slope[1] * (x / width)[..., None]
    mask = np.zeros((height, width), np.uint8)
    boxes = np.zeros((MOST_SHAPES, 6), np.float32)
    boxes[:, 4] = -1
    side = min(height, width)
    for place in range(int(rng.integers(1, MOST_SHAPES + 1))):
        for _ in range(_TRIES):
            kind, size = int(rng.integers(_KINDS)), float(rng.uniform(0.14, 0.4)) * side
            middle = rng.uniform(size / 2, height - size / 2), rng.uniform(size / 2, width - size / 2)
            inside = _inside(kind, y + 0.5 - middle[0], x + 0.5 - middle[1], size / 2)
            if not mask[inside].any():
                break
        else:
            continue  # no room is left
        away = rng.uniform(40, 90, 3) * rng.choice([-1.0, 1.0])
        picture[inside] = ground + away
        mask[inside] = kind + 1
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        boxes[place] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1, kind, 0
    picture += rng.normal(0, 12, picture.shape)
    return Drawn(np.clip(np.rint(picture), 0, 255).astype(np.uint8), mask, boxes)


def _inside(kind: int, y: NDArray[np.float32], x: NDArray[np.float32], half: float) -> NDArray[np.bool_]:
    """Which pixels, given from the middle, a shape of `2 * half` pixels covers."""
    if kind == 0:
        return np.asarray(x * x + y * y <= half * half)
    if kind == 1:
        return np.asarray((abs(x) <= half) & (abs(y) <= half))
    return np.asarray((abs(y) <= half) & (abs(x) <= (y + half) / 2))


class ShapesSource:
    """Implements `Dataset`: calibration is the first part of train; evaluation has numbers of its own.

    Attributes:
        drawn_by: says how pictures are drawn: with another one they are other data.
        least_side: pixels that they need.
    """

    drawn_by: str = str(_VERSION)
    least_side: int = _LEAST_SIDE

    def __init__(self, settings: DrawnSettings, signature: Signature) -> None:
        """Check that the pictures have room for what is drawn.

        Raises:
            DataError: they do not, or calibration wants more of them than there are.
        """
        self.signature = signature
        self._settings = settings
        _, self._height, self._width = signature.input_shape
        if min(self._height, self._width) < self.least_side:
            raise DataError(f"data.image_size: pictures are drawn from {self.least_side} pixels on: raise it")
        if settings.calibration_size > settings.train_size:
            raise DataError(
                f"data.calibration_size={settings.calibration_size} of data.train_size={settings.train_size} pictures: "
                "lower it, or raise train_size"
            )

    def count(self, split: Split) -> int:
        """Number of pictures."""
        settings = self._settings
        counts = {Split.TRAIN: settings.train_size, Split.CALIBRATION: settings.calibration_size}
        return counts.get(split, settings.evaluation_size)

    def digest(self, split: Split) -> str:
        """Hex SHA-256 over all that the drawing follows from."""
        how = self._settings
        parts = [self.drawn_by, how.seed, split is Split.EVALUATION, self.count(split), how.labels]
        text = canonical_json([*parts, self.signature.model_dump(mode="json")])
        return hashlib.sha256(text.encode()).hexdigest()

    def labels(self, split: Split) -> NDArray[np.generic] | None:
        """Masks, uint8 (count, height, width), or boxes, float32 (count, most, 6); None: the settings want none."""
        if self._settings.labels == "none":
            return None
        return np.stack([self._label(self._drawn(split, row)) for row in range(self.count(split))])

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        """Yield preprocessed batches in the order of `indices`; the last one may be smaller."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {batch_size}")
        rows = list(range(self.count(split))) if indices is None else [int(row) for row in indices]
        for start in range(0, len(rows), batch_size):
            drawn = [self._drawn(split, row) for row in rows[start : start + batch_size]]
            pixels = np.stack([one.pixels for one in drawn])
            if self.signature.preprocessing.channels == 1:
                pixels = np.rint(pixels.mean(axis=3, keepdims=True)).astype(np.uint8)
            elif self.signature.preprocessing.order == "bgr":
                pixels = pixels[..., ::-1]
            labels = None if self._settings.labels == "none" else np.stack([self._label(one) for one in drawn])
            yield Batch({"input": normalized(pixels, self.signature.preprocessing)}, labels)

    def _drawn(self, split: Split, row: int) -> Drawn:
        row %= self.count(split)  # counted from the end, as of a list
        return self.draw(split is Split.EVALUATION, row)

    def draw(self, evaluation: bool, row: int) -> Drawn:
        """The picture of that number."""
        return draw(self._settings.seed, evaluation, row, self._height, self._width)

    def _label(self, drawn: Drawn) -> NDArray[np.generic]:
        return drawn.mask if self._settings.labels == "masks" else drawn.boxes
