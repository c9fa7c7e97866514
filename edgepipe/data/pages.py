"""Draws pages of text and the mask of their lines from seed and number alone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, features
from PIL import __version__ as pillow

from edgepipe.contract import Signature
from edgepipe.data.drawn_text import text_of
from edgepipe.data.shapes import Drawn, ShapesSource
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.drawn_pages import DrawnPagesData

_MOST_WORDS = 5
_WEIGHTS = (0, 0, 0, 1)
_BLOTS = 4
_NO_BOXES = np.zeros((0, 6), np.float32)


class PagesSource(ShapesSource):
    """Pages in place of shapes."""

    drawn_by = f"{np.__version__} {pillow} {features.version('freetype2')} {Path(__file__).read_text('utf-8')}"
    least_side = 64

    def __init__(self, settings: DrawnPagesData, signature: Signature) -> None:
        super().__init__(settings, signature)
        if not features.check("freetype2"):
            raise DataError(
                "data=drawn_pages: this Pillow was built without FreeType: pip install --force-reinstall pillow"
            )
        self.drawn_by = f"{self.drawn_by} {settings.shrink} {settings.noise}"
        self._how = settings

    def draw(self, evaluation: bool, row: int) -> Drawn:
        pixels, mask = page(self._how, evaluation, row, self._height, self._width)
        return Drawn(pixels, mask, _NO_BOXES)


def page(
    how: DrawnPagesData, evaluation: bool, number: int, height: int, width: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """uint8 pixels, (height, width, 3), and mask, (height, width), 1 inside of lines; the same each time."""
    said = int(hashlib.sha256(f"{how.seed} {evaluation} {number} page".encode()).hexdigest()[:8], 16)
    drawn = np.random.RandomState(said)  # whose stream numpy keeps, as it does not of its newer generators
    dark = drawn.rand() < 0.2
    paper = drawn.randint(0, 70, 3) if dark else drawn.randint(170, 256, 3)
    slope = drawn.uniform(-25, 25, (2, 1))
    y, x = np.mgrid[0:height, 0:width] / [[[height]], [[width]]]
    ground = paper + (slope[0] * y + slope[1] * x)[..., None]
    picture = Image.fromarray(np.rint(ground.clip(0, 255)).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    _blots(pen, drawn, paper, height, width)
    mask = np.zeros((height, width), np.uint8)
    unit, top, line = min(height, width) / 480, 0.0, 0
    while True:
        size = round(unit * (13 + 30 * drawn.rand() ** 2))
        top += size * (0.3 + 1.2 * drawn.rand() ** 2)
        if top + 1.4 * size > height:
            break
        top = _line(pen, mask, drawn, how, (said + line, size, top, _ink(drawn, paper, dark)))
        line += 1
    pixels = np.asarray(picture, np.float64) + how.noise * drawn.standard_normal((height, width, 1))
    return np.rint(pixels.clip(0, 255)).astype(np.uint8), mask


def _ink(drawn: np.random.RandomState, paper: NDArray[np.int64], dark: bool) -> tuple[int, ...]:
    """A colour well apart from the paper's."""
    away = drawn.randint(90, 170, 3)
    return tuple(int(value) for value in (paper + away if dark else paper - away).clip(0, 255))


def _line(
    pen: ImageDraw.ImageDraw,
    mask: NDArray[np.uint8],
    drawn: np.random.RandomState,
    how: DrawnPagesData,
    what: tuple[int, int, float, tuple[int, ...]],
) -> float:
    """Write texts beside each other; where the line ends, in pixels from the top."""
    number, size, top, ink = what
    font, weight = ImageFont.load_default(size), _WEIGHTS[drawn.randint(len(_WEIGHTS))]
    left, below = mask.shape[1] * (0.02 + 0.25 * drawn.rand()), top + size
    for part in range(1 + drawn.randint(2)):
        text = text_of(how.seed, number * 7 + part, _MOST_WORDS)
        box = font.getbbox(text, stroke_width=weight)
        wide, high = box[2] - box[0], box[3] - box[1]
        if left + wide > 0.98 * mask.shape[1]:
            break
        pen.text((left - box[0], top - box[1]), text, ink, font, stroke_width=weight)
        inward = wide * high * (1 - how.shrink**2) / (2 * (wide + high))
        x1, y1, x2, y2 = (
            round(side) for side in (left + inward, top + inward, left + wide - inward, top + high - inward)
        )
        mask[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)] = 1
        left, below = left + wide + 3 * size, max(below, top + high)
    return below


def _blots(
    pen: ImageDraw.ImageDraw, drawn: np.random.RandomState, paper: NDArray[np.int64], height: int, width: int
) -> None:
    """Rules, frames and spots that are no text."""
    for _ in range(drawn.randint(_BLOTS + 1)):
        tint = tuple(int(value) for value in (paper + drawn.randint(-60, 61, 3)).clip(0, 255))
        x, y = np.sort(drawn.randint(0, width, 2)), np.sort(drawn.randint(0, height, 2))
        kind = drawn.randint(3)
        if kind == 0:
            pen.line((int(x[0]), int(y[0]), int(x[1]), int(y[0])), tint, 1 + drawn.randint(3))
        elif kind == 1:
            pen.rectangle((int(x[0]), int(y[0]), int(x[1]), int(y[1])), None, tint, 1 + drawn.randint(3))
        else:
            pen.ellipse((int(x[0]), int(y[0]), int(x[1]), int(y[1])), tint)
