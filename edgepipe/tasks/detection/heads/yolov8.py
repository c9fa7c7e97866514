"""The anchor-free layout of YOLOv5u, v8, v9 and v11: one output (4 + classes, places): x, y, w, h, then class scores.

x, y, w, h are pixels of the input, or shares of its sides in some exports; one place to a cell of strides 8, 16, 32.
Exports that turn the axes, (places, 4 + classes), are read where the data says how many classes there are.
"""

from __future__ import annotations

import numpy as np

from .boxes import About, Found, Outputs, cells, corners_of, float_shapes, grid, in_pixels, probabilities

TITLE = "one output (4 + classes, places), one place to a cell"


def fits(outputs: Outputs, about: About) -> bool:
    """Whether the shapes are of this head."""
    shapes = float_shapes(outputs)
    if len(outputs) != 1 or len(shapes) != 1 or len(shapes[0]) != 2:
        return False
    return _places_last(shapes[0], about) or _places_first(shapes[0], about)


def _places_last(shape: tuple[int, ...], about: About) -> bool:
    return shape[0] >= 5 and bool(cells(about, shape[1]))


def _places_first(shape: tuple[int, ...], about: About) -> bool:
    return about.classes > 0 and shape[1] == 4 + about.classes and bool(cells(about, shape[0]))


def decode(outputs: Outputs, about: About) -> Found:
    """Boxes and class scores."""
    (values,) = (np.asarray(value, np.float32) for value in outputs.values())
    shape = tuple(values.shape[1:])
    if _places_last(shape, about) and not (_places_first(shape, about) and shape[0] != 4 + about.classes):
        values = values.transpose(0, 2, 1)
    corners, steps = grid(about, cells(about, values.shape[1]))
    boxes = in_pixels(values[..., :4], (corners + 0.5) * steps, about.size)
    return Found(corners_of(boxes), probabilities(values[..., 4:], about.scores))
