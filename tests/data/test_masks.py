"""Masks of every kind that people save, and those that are refused."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgepipe.data.geometry import Frame
from edgepipe.data.masks import MaskReader, Table
from edgepipe.errors import DataError
from tests.data.files import saved

VALUES = np.repeat(np.arange(4, dtype=np.uint8), 6).reshape(4, 6)
COLOURS = np.array([[0, 0, 0], [128, 64, 128], [70, 70, 70], [255, 255, 255]], np.uint8)
PLAIN = Table({}, 255, lenient=False)
BY_COLOUR = Table({(0, 0, 0): 0, (128, 64, 128): 1, (70, 70, 70): 2, (255, 255, 255): 3}, 255, lenient=False)


def _png(pixels: Any) -> bytes:
    return saved(Image.fromarray(pixels), "PNG")


def _palette() -> bytes:
    picture = Image.fromarray(VALUES, "P")
    picture.putpalette(COLOURS.reshape(-1).tolist())
    return saved(picture, "PNG")


@pytest.mark.parametrize(
    ("content", "table"),
    [
        (_png(VALUES), PLAIN),
        (_palette(), PLAIN),
        (_palette(), BY_COLOUR),
        (_png(VALUES.astype(np.uint16)), PLAIN),
        (_png(np.stack([VALUES] * 3, -1)), PLAIN),
        (_png(COLOURS[VALUES]), BY_COLOUR),
        (_png(np.dstack([COLOURS[VALUES], np.full_like(VALUES, 7)])), BY_COLOUR),
        (_png(VALUES.astype(np.uint16) * 1000 + 7), Table({7: 0, 1007: 1, 2007: 2, 3007: 3}, 255, lenient=False)),
    ],
)
def test_values_palettes_and_colours_are_classes(content: bytes, table: Table) -> None:
    assert (MaskReader(table).classes("m.png", content) == VALUES).all()


def test_what_is_not_judged_is_255_whatever_its_value_is() -> None:
    found = MaskReader(Table({}, 3, lenient=False)).classes("m.png", _png(VALUES))
    assert (found == np.where(VALUES == 3, 255, VALUES)).all()
    some = Table({1: 0, 2: 0}, None, lenient=True)
    assert np.unique(MaskReader(some).classes("m.png", _png(VALUES))).tolist() == [0, 255]


@pytest.mark.parametrize(
    ("content", "table", "said"),
    [
        (
            _png(VALUES),
            Table({0: 0, 1: 1}, 255, lenient=False),
            "m.png: a mask with 2, 3, which data.classes does not n",
        ),
        (_png(COLOURS[VALUES]), PLAIN, "m.png: a mask with #000000, #464646.*data.classes="),
        (_png(VALUES.astype(np.uint16) * 1000 + 7), PLAIN, "a mask with 1007, 2007, 3007, and classes are 0 to 254"),
        (saved(Image.fromarray(VALUES), "JPEG"), PLAIN, "a mask in JPEG, which changes values"),
        (b"hello", PLAIN, "not a readable mask"),
        (saved(Image.fromarray(VALUES.astype(np.float32)), "TIFF"), PLAIN, "of mode F"),
    ],
)
def test_what_has_no_class_is_refused_by_name(content: bytes, table: Table, said: str) -> None:
    with pytest.raises(DataError, match=said):
        MaskReader(table).classes("m.png", content)


def _read(mask: np.ndarray, picture: Image.Image, **frame: Any) -> np.ndarray:
    how = Frame(**{"height": 8, "width": 12, "channels": 3, "interpolation": "bilinear", **frame})
    return MaskReader(PLAIN).read("m.png", _png(mask), picture, how)


def test_a_mask_goes_where_its_picture_goes() -> None:
    picture = Image.new("RGB", (6, 4))
    assert (_read(VALUES, picture) == VALUES.repeat(2, 0).repeat(2, 1)).all()
    boxed = _read(VALUES, picture, width=16, fit="letterbox")
    assert (boxed[:, 2:14] == VALUES.repeat(2, 0).repeat(2, 1)).all()
    assert (boxed[:, [0, 1, 14, 15]] == 255).all()
    large = Image.new("RGB", (60, 40))  # a mask may be smaller than its picture
    assert (_read(VALUES, large, width=16, fit="letterbox")[:, 2:14] == VALUES.repeat(2, 0).repeat(2, 1)).all()
    with pytest.raises(DataError, match="a mask of 6x4 pixels for a picture of 4x4"):
        _read(VALUES, Image.new("RGB", (4, 4)))


def test_a_mask_is_turned_with_its_picture_unless_it_was_drawn_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(Image.new("RGB", (6, 4)), "JPEG", exif=exif)
    with Image.open(io.BytesIO(content)) as picture:
        found = _read(VALUES, picture, height=6, width=4)
        assert (found == VALUES[::-1].T).all()
        assert (_read(VALUES[::-1].T.copy(), picture, height=6, width=4) == found).all()
