"""Where a picture of any size lies in the network's input; imports numpy alone, for boxes and masks go the same way.

The bundle's example.py and pixels.mjs follow the same rules; tests hold them against each other.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STRETCH, LETTERBOX, CORNER, CROP = "stretch", "letterbox", "letterbox_corner", "crop"
LINE, LINE_FREE = "line", "line_free"
LINE_STEP = 32
"""Pixels: lines of free width are as wide as a multiple of it, so that many of them have one shape."""
LONGEST_LINE = 128
"""Times as long as high; a longer one is squeezed, or its width would be whatever a file says."""


class Frame(NamedTuple):
    """The form every picture is brought into; the fields are those of `Preprocessing`."""

    height: int
    width: int
    channels: int
    interpolation: str
    fit: str = STRETCH
    fill: int = 114
    order: str = "rgb"
    crop_share: float = 0.875


class Placement(NamedTuple):
    """A resized picture in its frame.

    Attributes:
        width, height: of the resized picture, in pixels.
        left, top: of its first pixel in the frame; negative: so many are cut off.
        scale_x, scale_y: pixels of the frame per pixel of the picture as it was.
    """

    width: int
    height: int
    left: int
    top: int
    scale_x: float
    scale_y: float


def placement(width: int, height: int, frame: Frame) -> Placement:
    """Place an upright picture of `width` x `height` pixels; one that has the frame's size already stays as it is.

    `stretch`: both sides as the frame's. `letterbox`: as large as fits with its sides in proportion, in the middle,
    `letterbox_corner`: at the left and top. `crop`: resized so that it just covers the frame's sides divided by
    `crop_share`, the middle cut out, torchvision's `Resize` and `CenterCrop`, by which ImageNet's networks are judged.
    """
    to_width, to_height = frame.width, frame.height
    left = top = 0
    if frame.fit in (LINE, LINE_FREE):
        most = LONGEST_LINE * frame.height if frame.fit == LINE_FREE else frame.width
        to_width = min(most, max(1, (2 * width * frame.height + height) // (2 * height)))
    elif frame.fit != STRETCH and (width, height) != (to_width, to_height):
        if frame.fit == CROP:
            to_width, to_height = _covering(width, height, frame)
            left, top = -_half_to_even(to_width - frame.width), -_half_to_even(to_height - frame.height)
        else:
            to_width, to_height = _fitting(width, height, frame)
            if frame.fit == LETTERBOX:
                left, top = (frame.width - to_width) // 2, (frame.height - to_height) // 2
    return Placement(to_width, to_height, left, top, to_width / width, to_height / height)


def _fitting(width: int, height: int, frame: Frame) -> tuple[int, int]:
    """In whole numbers, halves rounded up: every language comes to the same."""
    if frame.width * height <= frame.height * width:
        return frame.width, max(1, (2 * height * frame.width + width) // (2 * width))
    return max(1, (2 * width * frame.height + height) // (2 * height)), frame.height


def _covering(width: int, height: int, frame: Frame) -> tuple[int, int]:
    wide, high = math.floor(frame.width / frame.crop_share), math.floor(frame.height / frame.crop_share)
    if wide * height >= high * width:
        return wide, height * wide // width
    return width * high // height, high


def _half_to_even(rest: int) -> int:
    """`round(rest / 2)`, as torchvision places the middle."""
    return rest // 2 + (rest % 2 and rest // 2 % 2)


def to_frame(boxes: NDArray[np.floating], at: Placement) -> NDArray[np.float32]:
    """Boxes in pixels of a picture, (n, 4) as x1, y1, x2, y2, in pixels of the frame; what is cut off is outside it."""
    scale, shift = _axes(at)
    return np.asarray(boxes * scale + shift, np.float32)


def to_source(boxes: NDArray[np.floating], at: Placement) -> NDArray[np.float32]:
    """The way back of `to_frame`."""
    scale, shift = _axes(at)
    return np.asarray((boxes - shift) / scale, np.float32)


def _axes(at: Placement) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array([at.scale_x, at.scale_y] * 2), np.array([at.left, at.top] * 2, np.float64)
