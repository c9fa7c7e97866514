from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from edgepipe.data.decode import Work, decode
from edgepipe.data.geometry import Frame
from edgepipe.data.listing import is_picture
from edgepipe.errors import DataError
from tests.data.drawing import png
from tests.data.files import HEIGHT, RGB, TURNING, TURNS, WIDTH, readable, refused, saved, turned


def one(raw: bytes, size: int = 8, channels: int = 3) -> np.ndarray:
    return decode(Work(["a/1.png"], [raw], Frame(size, size, channels, "bilinear")))


def huge_png() -> bytes:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not a readable picture"),
        (b"hello", r"not a readable picture \(its bytes are none of JPEG"),
        (png(1)[:100], "not a readable picture"),
        (huge_png(), "not a readable picture .*3600000000 pixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", r"not a readable picture \(its bytes are none of JPEG"),
    ],
)
def test_what_is_no_picture_is_named(raw: bytes, message: str) -> None:
    with pytest.raises(DataError, match=rf"a/1\.png: {message}"):
        one(raw)


@pytest.mark.parametrize("name", refused())
def test_what_is_no_picture_of_eight_bits_is_refused_and_not_clipped_to_white(name: str) -> None:
    raw, message = refused()[name]
    with pytest.raises(DataError, match=message):
        one(raw)


def test_every_kind_of_file_is_read_by_its_suffix_and_content() -> None:
    for name, raw in readable().items():
        found = decode(Work([name], [raw], Frame(HEIGHT, WIDTH, 3, "nearest")))
        assert found.shape == (1, HEIGHT, WIDTH, 3)
        assert "_" in name.partition(".")[0] or is_picture(f"cat/{name}"), name


@pytest.mark.parametrize("kind", TURNING)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_the_camera_was_held(kind: str, orientation: int) -> None:
    plain = np.asarray(Image.open(io.BytesIO(turned(kind, 1))).convert("RGB"))
    expected = TURNS.get(orientation, lambda pixels: pixels)(plain)
    frame = Frame(expected.shape[0], expected.shape[1], 3, "bilinear")
    assert np.array_equal(decode(Work(["1"], [turned(kind, orientation)], frame))[0], expected)


def test_damaged_exif_says_nothing() -> None:
    plain = np.asarray(Image.open(io.BytesIO(saved(Image.fromarray(RGB), "JPEG", quality=95))))
    for name in ("broken_exif.jpg", "cut_exif.jpg", "orientation_9.jpg"):
        assert np.array_equal(decode(Work([name], [readable()[name]], Frame(HEIGHT, WIDTH, 3, "nearest")))[0], plain)


def test_grey_pictures_are_repeated_over_three_channels() -> None:
    pixels = one(png(1, mode="L"))
    assert pixels.shape == (1, 8, 8, 3)
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_resizing_is_pillows() -> None:
    raw = png(1, size=32)
    expected = Image.open(io.BytesIO(raw)).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.array_equal(one(raw, 64)[0], np.asarray(expected))
