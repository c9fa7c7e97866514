from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from edgepipe.data.decode import Frame, Work, decode
from edgepipe.errors import DataError
from tests.data.drawing import png


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


def test_sixteen_bit_pictures_are_refused_and_not_clipped_to_white() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((8, 8), 3000, np.uint16)).save(stream, "PNG")
    with pytest.raises(DataError, match="more than 8 bits"):
        one(stream.getvalue())


def test_grey_pictures_are_repeated_over_three_channels() -> None:
    pixels = one(png(1, mode="L"))
    assert pixels.shape == (1, 8, 8, 3)
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_resizing_is_pillows() -> None:
    raw = png(1, size=32)
    expected = Image.open(io.BytesIO(raw)).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.array_equal(one(raw, 64)[0], np.asarray(expected))
