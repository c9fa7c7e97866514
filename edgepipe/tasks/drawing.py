"""Answers drawn on the picture that they are about, for reports."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgepipe.tasks.maps import resized_nearest

Pixels = NDArray[np.uint8]
"""(height, width, 3), RGB."""


def colour(number: int) -> tuple[int, int, int]:
    """RGB of a class: neighbours in number lie far apart on the wheel, as on the page of a bundle."""
    hue = (number * 137.508 + 211) % 360 / 360
    red, green, blue = colorsys.hls_to_rgb(hue, 0.5, 0.75)
    return round(255 * red), round(255 * green), round(255 * blue)


def with_boxes(picture: Pixels, boxes: NDArray[np.float32], names: Sequence[str]) -> Pixels:
    """Boxes, (k, 5 or more), rows of x1, y1, x2, y2, class in pixels, with the names of their classes."""
    from PIL import Image, ImageDraw

    drawn = Image.fromarray(picture)
    pen = ImageDraw.Draw(drawn)
    height, width = picture.shape[:2]
    wide = max(1, round(max(height, width) / 150))
    for x1, y1, x2, y2, number in boxes[:, :5].tolist():
        left, right = sorted((min(max(x1, 0), width - 1), min(max(x2, 0), width - 1)))
        top, bottom = sorted((min(max(y1, 0), height - 1), min(max(y2, 0), height - 1)))
        pen.rectangle((left, top, right, bottom), outline=colour(int(number)), width=wide)
        if int(number) < len(names) and min(height, width) >= 128:
            text = names[int(number)].encode("latin-1", "replace").decode("latin-1")[:24]  # of Pillow's own letters
            pen.rectangle(pen.textbbox((left + 2, top), text), fill=(0, 0, 0))
            pen.text((left + 2, top), text, fill=(255, 255, 255))
    return np.asarray(drawn)


def with_mask(picture: Pixels, mask: NDArray[np.integer], ignored: int) -> Pixels:
    """A mask, (h, w) of classes, laid over the picture; pixels that are not judged stay as they are."""
    found = resized_nearest(mask, picture.shape[:2])
    drawn = picture.copy()
    for number in np.unique(found).tolist():
        if number != ignored:
            there = found == number
            drawn[there] = (0.45 * picture[there] + 0.55 * np.array(colour(number))).astype(np.uint8)
    return drawn
