"""From a file to the picture that should come out, and the tiles that photographs are cut into."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgepipe.data.decode import Raw, Work, decode, formats, upright
from edgepipe.data.geometry import Frame
from edgepipe.data.paired import Found, Pairs
from edgepipe.errors import DataError

_PHOTOGRAPH = "china.jpg"
_KEPT = 8
"""Decoded photographs that are kept while their tiles are read."""


@dataclass(frozen=True)
class Target:
    """Reads targets, `scale` times as large as the network's input: uint8, (channels, height, width)."""

    scale: int

    def shape(self, frame: Frame) -> tuple[int, ...]:
        """Of one label."""
        return frame.channels, self.scale * frame.height, self.scale * frame.width

    def read(self, name: str, raw: Raw, of_picture: Image.Image, frame: Frame) -> NDArray[np.uint8]:
        """The target, placed as its input is; of the same colours as the network's input, RGB or grey or BGR."""
        del of_picture
        return np.ascontiguousarray(self._large(name, raw, frame).transpose(2, 0, 1))

    def inputs(self, names: Sequence[str], raws: Sequence[Raw], frame: Frame) -> NDArray[np.uint8]:
        """uint8, (n, height, width, channels), as files."""
        return decode(Work(names, raws, frame))

    def _large(self, name: str, raw: Raw, frame: Frame) -> NDArray[np.uint8]:
        large = frame._replace(height=self.scale * frame.height, width=self.scale * frame.width)
        pixels: NDArray[np.uint8] = decode(Work([name], [raw], large))[0]
        return pixels


@dataclass(frozen=True)
class Halved(Target):
    """As `Target`, and the input is made of it by Pillow's bicubic filter."""

    def inputs(self, names: Sequence[str], raws: Sequence[Raw], frame: Frame) -> NDArray[np.uint8]:
        """uint8, (n, height, width, channels)."""
        found = np.empty((len(names), frame.height, frame.width, frame.channels), np.uint8)
        for row, (name, raw) in enumerate(zip(names, raws, strict=True)):
            pixels = self._large(name, raw, frame)
            picture = Image.fromarray(pixels if frame.channels == 3 else pixels[..., 0])
            small = picture.resize((frame.width, frame.height), Image.Resampling.BICUBIC)
            found[row] = np.asarray(small, np.uint8).reshape(frame.height, frame.width, frame.channels)
        return found


def cut(where: str, found: Found, height: int, width: int) -> Found:
    """Tiles of `height` x `width` pixels, side by side from the left and top; what is left over is left out.

    Raises:
        DataError: no picture of a split holds a single tile.
    """
    train, evaluation = (_tiles(where, pool, height, width) for pool in (found.train, found.evaluation))
    return Found(train, evaluation, found.notes)


def _tiles(where: str, pool: Pairs, height: int, width: int) -> Pairs:
    places: list[tuple[int, int, int]] = []
    for row in range(len(pool.names)):
        columns, rows = _size(pool.names[row], pool.load(row))
        places += [
            (row, y, x) for y in range(0, rows - height + 1, height) for x in range(0, columns - width + 1, width)
        ]
    if len(pool.names) and not places:
        raise DataError(
            f"{where}: no picture holds a tile of {width}x{height} pixels: lower data.image_size, or set "
            "data.tiles=false"
        )
    names = [f"{pool.names[row]}[{x},{y}]" for row, y, x in places]
    hashes = [
        hashlib.sha256(f"{pool.hashes[row]} {y} {x} {height} {width}".encode()).hexdigest() for row, y, x in places
    ]

    @lru_cache(maxsize=_KEPT)
    def pixels(row: int) -> NDArray[np.uint8]:
        return _decoded(pool.names[row], pool.load(row))

    def load(place: int) -> Raw:
        row, y, x = places[place]
        return pixels(row)[y : y + height, x : x + width]

    return Pairs(names, names, hashes, hashes, load, load)


def _size(name: str, raw: Raw) -> tuple[int, int]:
    """(width, height) upright; pixels are decoded only where the camera may have been turned."""
    if not isinstance(raw, bytes):
        return raw.shape[1], raw.shape[0]
    try:
        with Image.open(io.BytesIO(raw), formats=formats()) as picture:
            return upright(picture).size if picture.getexif() else picture.size
    except Exception as error:
        raise DataError(f"{name}: not a readable picture ({error}): replace or remove it") from error


def _decoded(name: str, raw: Raw) -> NDArray[np.uint8]:
    width, height = _size(name, raw)
    pixels: NDArray[np.uint8] = decode(Work([name], [raw], Frame(height, width, 3, "bicubic")))[0]
    return pixels


def bundled() -> Found:
    """A photograph of a temple that scikit-learn brings: the left three fifths to train on, the rest to evaluate on.

    Raises:
        DataError: scikit-learn is not installed, or brings no photograph.
    """
    import importlib.util

    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError(
            "data=image_pairs without a root takes a photograph of scikit-learn: install it, or set data.root"
        )
    file = Path(spec.origin).parent / "datasets" / "images" / _PHOTOGRAPH
    try:
        pixels = _decoded(_PHOTOGRAPH, file.read_bytes())
    except OSError as error:
        raise DataError(f"data=image_pairs: this scikit-learn brings no photograph ({error}): set data.root") from error
    middle = 3 * pixels.shape[1] // 5

    def pool(side: str, part: NDArray[np.uint8]) -> Pairs:
        kept = np.ascontiguousarray(part)
        names, digest = [f"{_PHOTOGRAPH} ({side})"], [hashlib.sha256(kept.tobytes()).hexdigest()]
        return Pairs(names, names, digest, digest, lambda _row: kept, lambda _row: kept)

    return Found(pool("left", pixels[:, :middle]), pool("right", pixels[:, middle:]))
