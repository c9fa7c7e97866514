"""From a picture's bytes to the network's numbers and back: scaled, then normalized per channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Preprocessing


def is_picture(shape: tuple[int, ...], about: Preprocessing) -> bool:
    """Whether examples of this shape, (channels, height, width), are pictures prepared so."""
    return len(shape) == 3 and len(about.mean) == len(about.std) == shape[0]


def normalized(pixels: NDArray[np.uint8], about: Preprocessing) -> NDArray[np.float32]:
    """float32, (n, channels, height, width), of uint8, (n, height, width, channels)."""
    mean, std = _columns(about)
    found = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)
    # Divided and not multiplied: bytes over 255 are what they have always been, to the bit.
    found /= divisor(about)
    found -= mean
    found /= std
    return found


def every_byte(about: Preprocessing) -> NDArray[np.float32]:
    """What each of the 256 bytes becomes: float32, (channels, 256)."""
    mean, std = _columns(about)
    values = np.arange(256, dtype=np.float32)[None] / divisor(about)
    return np.asarray((values - mean[:, 0]) / std[:, 0], np.float32)


def pixels_of(inputs: NDArray[np.float32], about: Preprocessing) -> NDArray[np.uint8]:
    """The nearest bytes that `normalized` makes these of, (..., channels, height, width), in the network's order."""
    mean, std = _columns(about)
    found = np.rint((inputs * std + mean) * divisor(about))
    return np.asarray(np.nan_to_num(found).clip(0, 255), np.uint8)


def shown(inputs: NDArray[np.float32], about: Preprocessing) -> NDArray[np.uint8]:
    """One example, (channels, height, width), as people look at it: (height, width) or RGB (height, width, 3)."""
    pixels = pixels_of(inputs, about)
    if len(pixels) == 1:
        grey: NDArray[np.uint8] = pixels[0]
        return grey
    rgb: NDArray[np.uint8] = pixels[::-1] if about.order == "bgr" else pixels
    return np.ascontiguousarray(rgb.transpose(1, 2, 0))


def divisor(about: Preprocessing) -> np.float32:
    """What bytes are divided by: 255 for a scale of 1/255."""
    return np.float32(1 / about.scale)


def _columns(about: Preprocessing) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mean, std = (np.asarray(values, np.float32).reshape(-1, 1, 1) for values in (about.mean, about.std))
    return mean, std
