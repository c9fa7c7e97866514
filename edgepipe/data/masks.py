"""From a mask's file to a class for each pixel of the network's input. Runs in worker processes too."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgepipe.data.decode import MAX_PIXELS, Raw, Work, decode, formats, placed, turn_of
from edgepipe.data.geometry import Frame
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.paired import Pairs

IGNORED = 255
"""What every mask has where nothing is judged, whatever value its file has there."""
_WHOLE = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "LA", "PA")
_LOOKED_AT = 8
_ACROSS = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
)
"""Turns by which height and width change places."""


@dataclass(frozen=True)
class Table:
    """How values become classes.

    Attributes:
        looks: value or colour to class; empty: a value is its class.
        ignored: value that is not judged; lenient: nor are others that have no class.
    """

    looks: dict[int | tuple[int, int, int], int]
    ignored: int | None
    lenient: bool

    @property
    def coloured(self) -> bool:
        """Whether classes are colours."""
        return any(isinstance(look, tuple) for look in self.looks)


@dataclass(frozen=True)
class MaskReader:
    """Reads masks as the labels of pictures: uint8, (height, width) of the frame, 255 where nothing is judged."""

    table: Table

    def shape(self, frame: Frame) -> tuple[int, ...]:
        """Of one label."""
        return frame.height, frame.width

    def read(self, name: str, raw: Raw, of_picture: Image.Image, frame: Frame) -> NDArray[np.uint8]:
        """The mask of a picture, placed as the picture is.

        Args:
            of_picture: opened, not decoded, for its size and how the camera was held.
        Raises:
            DataError: it is none, of other proportions, or has values without a class; the message names it.
        """
        classes = self.classes(name, raw)
        mask = Image.fromarray(classes)
        upright, turn = _upright(of_picture)
        if mask.size != upright and mask.size == of_picture.size and turn is not None:
            mask = mask.transpose(turn)  # drawn on the picture as its file has it
        if not _alike(mask.size, upright):
            raise DataError(
                f"{name}: a mask of {mask.size[0]}x{mask.size[1]} pixels for a picture of {upright[0]}x{upright[1]}: "
                "they must have the same proportions. Make it anew from its picture"
            )
        if mask.size != upright and frame.fit != "stretch":
            mask = mask.resize(upright, Image.Resampling.NEAREST)
        return np.asarray(placed(name, mask, frame._replace(interpolation="nearest"), IGNORED), np.uint8)

    def inputs(self, names: Sequence[str], raws: Sequence[Raw], frame: Frame) -> NDArray[np.uint8]:
        """The pictures themselves: uint8, (n, height, width, channels)."""
        return decode(Work(names, raws, frame))

    def classes(self, name: str, raw: Raw) -> NDArray[np.uint8]:
        """uint8 as large as the file says."""
        values = _values(name, raw, self.table.coloured)
        return _coloured(name, values, self.table) if values.ndim == 3 else _whole(name, values, self.table)

    def refuse_black_and_white(self, where: str, pairs: Pairs, ignored: int | None) -> None:
        """Masks of 0 and 255 mean an object, and 255 usually that nothing is judged: it has to be said which.

        Raises:
            DataError: the first masks have no other values, and no classes were named.
        """
        if self.table.looks or ignored != IGNORED:
            return
        found: set[int] = set()
        for row in range(min(_LOOKED_AT, len(pairs.names))):
            found |= set(np.unique(_values(pairs.label_names[row], pairs.load_label(row), coloured=False)).tolist())
        if found <= {0, IGNORED} and IGNORED in found:
            raise DataError(
                f"{where}: its masks hold 0 and 255 only. Where 255 is an object: "
                "data.classes={background: 0, object: 255} data.ignore_index=null; where it is not judged, give masks "
                "with a class beside 0"
            )


def _upright(picture: Image.Image) -> tuple[tuple[int, int], Image.Transpose | None]:
    """(width, height) of a picture once it stands upright, and how it is turned for that."""
    if picture.format not in ("JPEG", "MPO", None):
        picture.load()  # only now is known what is said behind the pixels
    turn = turn_of(picture)
    width, height = picture.size
    return ((height, width) if turn in _ACROSS else (width, height)), turn


def _alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes have the same proportions, but for a pixel of rounding."""
    return abs(one[0] * other[1] - one[1] * other[0]) <= max(*one, *other)


def _values(name: str, raw: Raw, coloured: bool) -> NDArray[np.int64]:
    """Whole numbers, (height, width), or colours, (height, width, 3)."""
    if not isinstance(raw, bytes):
        return np.asarray(raw, np.int64)
    try:
        with Image.open(io.BytesIO(raw), formats=formats()) as mask:
            if mask.width * mask.height > MAX_PIXELS:
                raise DataError(f"{name}: {mask.width}x{mask.height} pixels: more than {MAX_PIXELS}; shrink it")
            if mask.format in ("JPEG", "MPO", "AVIF"):
                raise DataError(f"{name}: a mask in {mask.format}, which changes values near edges: save it as PNG")
            if mask.mode in _WHOLE and not coloured:
                return _plain(mask)
            if mask.mode not in (*_WHOLE, "RGB", "RGBA"):
                raise DataError(f"{name}: a mask of mode {mask.mode}: save it as PNG of whole numbers or colours")
            if mask.mode.startswith("I"):
                return _plain(mask)
            pixels = np.asarray(mask.convert("RGB"), np.int64)
    except DataError:
        raise
    except Exception as error:  # Pillow's parsers raise anything on hostile bytes
        raise DataError(f"{name}: not a readable mask ({error}): replace or remove it") from error
    if not coloured and (pixels == pixels[..., :1]).all():
        return pixels[..., 0]
    return pixels


def _plain(mask: Image.Image) -> NDArray[np.int64]:
    if mask.mode in ("LA", "PA"):
        mask = mask.getchannel(0)
    return np.asarray(mask).astype(np.int64)


def _whole(name: str, values: NDArray[np.int64], table: Table) -> NDArray[np.uint8]:
    top = int(values.max(initial=0))
    if int(values.min(initial=0)) < 0 or top > 65535:
        raise DataError(f"{name}: values from {values.min()} to {top}: a mask has 0 to 65535")
    classes = np.full(max(top, 65535) + 1 if table.looks else max(top, 255) + 1, -1, np.int64)
    if table.looks:
        for look, number in table.looks.items():
            if isinstance(look, int):
                classes[look] = number
    else:
        classes[:255] = np.arange(255)
    if table.ignored is not None and table.ignored < len(classes):
        classes[table.ignored] = IGNORED
    if table.lenient:
        classes[classes < 0] = IGNORED
    found = classes[values]
    _refuse_unnamed(name, [str(value) for value in np.unique(values[found < 0]).tolist()], bool(table.looks))
    return found.astype(np.uint8)


def _coloured(name: str, pixels: NDArray[np.int64], table: Table) -> NDArray[np.uint8]:
    codes = (pixels[..., 0] << 16) | (pixels[..., 1] << 8) | pixels[..., 2]
    known, places = np.unique(codes, return_inverse=True)
    looks = {
        (r << 16) | (g << 8) | b: n
        for (r, g, b), n in ((k, n) for k, n in table.looks.items() if not isinstance(k, int))
    }
    classes = np.array([looks.get(code, IGNORED if table.lenient else -1) for code in known.tolist()], np.int64)
    _refuse_unnamed(name, [f"#{code:06x}" for code in known[classes < 0].tolist()], bool(looks))
    return classes[places].reshape(codes.shape).astype(np.uint8)


def _refuse_unnamed(name: str, unnamed: list[str], some: bool) -> None:
    if not unnamed:
        return
    said = ", ".join(unnamed[:5]) + (f" and {len(unnamed) - 5} more" if len(unnamed) > 5 else "")
    if not some:
        what = "name the class of each, as in data.classes={road: '#804080', sky: [1, 2]}"
        raise DataError(f"{name}: a mask with {said}, and classes are 0 to 254: {what}")
    raise DataError(
        f"{name}: a mask with {said}, which data.classes does not name: name them, or set data.others=ignore to leave "
        "such pixels out"
    )
