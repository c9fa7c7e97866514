"""From encoded bytes, or an array, to uint8 pixels of one size. Runs in worker processes too: imports little."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgepipe.data.geometry import LINE, LINE_FREE, Frame, placement
from edgepipe.errors import DataError

Raw = bytes | NDArray[np.uint8]
"""One picture: an encoded file's bytes, or uint8 pixels, (height, width) or (height, width, 3)."""

# Only plain raster formats: others start programs (EPS runs Ghostscript) or are rarely exercised parsers. The bundle's
# example.py and pixels.mjs follow the same rules; tests hold them against each other.
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "AVIF")
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    *(".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".avif", ".avifs"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
MAX_PIXELS = 89_478_485  # Pillow's own limit against decompression bombs: 256 MiB of RGB
_RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
ORIENTATION = 0x0112  # EXIF's tag: how the camera was held
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Work(NamedTuple):
    """Pictures decoded in one go by one worker."""

    names: Sequence[str]
    raws: Sequence[Raw]
    frame: Frame


def decode(work: Work) -> NDArray[np.uint8]:
    """Decode, resize and place: uint8, (pictures, height, width, channels), the channels in the frame's order.

    A line comes alone, and as wide as it is: what is free at its right is added after normalization.

    Raises:
        DataError: a file is no picture, is damaged, or is unreasonably large; the message names it.
    """
    frame = work.frame
    if frame.fit in (LINE, LINE_FREE):  # each as wide as it is
        (name,), (raw,) = work.names, work.raws
        return _decode_one(name, raw, frame)[None]
    pixels = np.empty((len(work.raws), frame.height, frame.width, frame.channels), np.uint8)
    for row, (name, raw) in enumerate(zip(work.names, work.raws, strict=True)):
        pixels[row] = _decode_one(name, raw, frame)
    return pixels


def _decode_one(name: str, raw: Raw, frame: Frame) -> NDArray[np.uint8]:
    if not isinstance(raw, bytes):
        return _pixels(name, Image.fromarray(raw), frame)
    try:
        with Image.open(io.BytesIO(raw), formats=formats()) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise DataError(f"{name}: {picture.width}x{picture.height} pixels: more than {MAX_PIXELS}; shrink it")
            if picture.mode == "F" or picture.mode.startswith("I"):
                # Pillow would clip these to 255 and so turn them white without a word.
                raise DataError(
                    f"{name}: pixels of mode {picture.mode} hold more than 8 bits: save it as 8-bit grey or RGB"
                )
            return _pixels(name, upright(picture), frame)
    except DataError:
        raise
    except Exception as error:  # Pillow's parsers raise anything on hostile bytes: struct.error, KeyError, ...
        reason = str(error) if "BytesIO" not in str(error) else "its bytes are none of " + ", ".join(formats())
        raise DataError(f"{name}: not a readable picture ({reason}): replace or remove it") from error


@cache
def formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow knows; AVIF came with 11.3."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def upright(picture: Image.Image) -> Image.Image:
    """The picture as the camera was held, by its EXIF orientation; as it is where there is none, or a damaged one."""
    picture.load()  # a PNG may say it behind its pixels; of a TIFF, Pillow turns the pixels itself
    turn = turn_of(picture)
    return picture if turn is None else picture.transpose(turn)


def turn_of(picture: Image.Image) -> Image.Transpose | None:
    """How a picture must be turned to stand upright, by its EXIF orientation as far as it was read; None: it does."""
    try:
        return _TURNS.get(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # the parser raises anything on damaged bytes, which say nothing
        return None


def _pixels(name: str, picture: Image.Image, frame: Frame) -> NDArray[np.uint8]:
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")  # the same colours, without Pillow's warning
    picture = picture.convert("RGB" if frame.channels == 3 else "L")
    pixels = np.asarray(placed(name, picture, frame, frame.fill), np.uint8)
    pixels = pixels.reshape(frame.height, -1, frame.channels)
    return pixels[..., ::-1] if frame.order == "bgr" else pixels


def placed(name: str, picture: Image.Image, frame: Frame, fill: int) -> Image.Image:
    """A picture, or a mask, resized and placed as the frame says; `fill`: of what it leaves free, in every channel.

    Raises:
        DataError: it is so long and thin that resizing it would take unreasonable memory.
    """
    at = placement(*picture.size, frame)
    if at.width * at.height > MAX_PIXELS:
        width, height = picture.size
        raise DataError(
            f"{name}: {width}x{height} pixels: resized for data.fit=crop these are {at.width}x{at.height}, more than "
            f"{MAX_PIXELS}: cut it, or set data.fit=letterbox"
        )
    if picture.size != (at.width, at.height):
        picture = picture.resize((at.width, at.height), _RESAMPLE[frame.interpolation])
    if picture.size == (frame.width, frame.height) or frame.fit in (LINE, LINE_FREE):
        return picture
    if at.left < 0 or at.top < 0:
        return picture.crop((-at.left, -at.top, frame.width - at.left, frame.height - at.top))
    whole = Image.new(picture.mode, (frame.width, frame.height), (fill,) * len(picture.getbands()))
    whole.paste(picture, (at.left, at.top))
    return whole
