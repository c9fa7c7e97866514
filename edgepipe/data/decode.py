"""From encoded bytes, or an array, to uint8 pixels of one size. Runs in worker processes too: imports little."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgepipe.errors import DataError

Raw = bytes | NDArray[np.uint8]
"""One picture: an encoded file's bytes, or uint8 pixels, (height, width) or (height, width, 3)."""

# Only plain raster formats: others start programs (EPS runs Ghostscript) or are rarely exercised parsers.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
MAX_PIXELS = 89_478_485  # Pillow's own limit against decompression bombs: 256 MiB of RGB
_RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


class Frame(NamedTuple):
    """The form every picture is brought into."""

    height: int
    width: int
    channels: int
    interpolation: str


class Work(NamedTuple):
    """Pictures decoded in one go by one worker."""

    names: Sequence[str]
    raws: Sequence[Raw]
    frame: Frame


def decode(work: Work) -> NDArray[np.uint8]:
    """Decode and resize: uint8, (pictures, height, width, channels).

    Raises:
        DataError: a file is no picture, is damaged, or is unreasonably large; the message names it.
    """
    frame = work.frame
    pixels = np.empty((len(work.raws), frame.height, frame.width, frame.channels), np.uint8)
    for row, (name, raw) in enumerate(zip(work.names, work.raws, strict=True)):
        pixels[row] = _decode_one(name, raw, frame)
    return pixels


def _decode_one(name: str, raw: Raw, frame: Frame) -> NDArray[np.uint8]:
    if not isinstance(raw, bytes):
        return _fit(Image.fromarray(raw), frame)
    try:
        with Image.open(io.BytesIO(raw), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise DataError(f"{name}: {picture.width}x{picture.height} pixels: more than {MAX_PIXELS}; shrink it")
            if picture.mode == "F" or picture.mode.startswith("I"):
                # Pillow would clip these to 255 and so turn them white without a word.
                raise DataError(
                    f"{name}: pixels of mode {picture.mode} hold more than 8 bits: save it as 8-bit grey or RGB"
                )
            return _fit(picture, frame)
    except DataError:
        raise
    except Exception as error:  # Pillow's parsers raise anything on hostile bytes: struct.error, KeyError, ...
        reason = str(error) if "BytesIO" not in str(error) else "its bytes are none of " + ", ".join(FORMATS)
        raise DataError(f"{name}: not a readable picture ({reason}): replace or remove it") from error


def _fit(picture: Image.Image, frame: Frame) -> NDArray[np.uint8]:
    picture = picture.convert("RGB" if frame.channels == 3 else "L")
    if picture.size != (frame.width, frame.height):
        picture = picture.resize((frame.width, frame.height), _RESAMPLE[frame.interpolation])
    return np.asarray(picture, np.uint8).reshape(frame.height, frame.width, frame.channels)
