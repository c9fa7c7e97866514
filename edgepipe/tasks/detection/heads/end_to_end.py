"""One output (boxes, 6): x1, y1, x2, y2 in pixels, score, class; the network chooses its boxes itself.

As YOLOv10 ends (arXiv:2405.14458), and exports with the suppression in the graph. PaddleDetection's order, class,
score, x1, y1, x2, y2, is told by its values: of scores none is above 1, and classes are whole numbers.
"""

from __future__ import annotations

import numpy as np

from .boxes import About, Floats, Found, Outputs, cells, float_shapes

TITLE = "one output (boxes, 6): x1, y1, x2, y2, score, class"


def fits(outputs: Outputs, about: About) -> bool:
    """Whether the shapes are of this head; a count beside the boxes, as some exports give, is passed over."""
    shapes = [shape for shape in float_shapes(outputs) if len(shape) == 2]
    others = len(outputs) - len(shapes)
    if len(shapes) != 1 or others > 1 or shapes[0][1] != 6:
        return False
    return about.size == (0, 0) or not cells(about, shapes[0][0])


def decode(outputs: Outputs, about: About) -> Found:
    """Boxes, scores and classes."""
    values = next(np.asarray(value, np.float32) for value in outputs.values() if value.ndim == 3)
    if not _may_be(values, 4, 5) and _may_be(values, 1, 0):
        labels, scores, boxes = values[..., 0], values[..., 1], values[..., 2:]
    else:
        boxes, scores, labels = values[..., :4], values[..., 4], values[..., 5]
    height, width = about.size
    if boxes.size and float(np.abs(boxes).max()) <= 2:  # shares of the sides: no box is two pixels large
        boxes = boxes * np.array([width, height] * 2, np.float32)
    return Found(boxes, scores, np.rint(labels).astype(np.int64), suppressed=True)


def _may_be(values: Floats, score: int, label: int) -> bool:
    """Whether these columns may be scores and classes."""
    shares, classes = values[..., score], values[..., label]
    return bool(((shares >= 0) & (shares <= 1.02)).all() and (classes == np.rint(classes)).all())
