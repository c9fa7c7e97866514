"""YOLOX: one output (places, 5 + classes): x, y, w, h, objectness, classes; one place to a cell of strides 8, 16, 32.

x and y are offsets in cells from a cell's corner and w and h logarithms in cells, or all four pixels where the network
decodes them itself. Source: Ge et al., YOLOX: Exceeding YOLO Series in 2021, arXiv:2107.08430.
"""

from __future__ import annotations

import numpy as np

from .boxes import About, Found, Outputs, cells, corners_of, float_shapes, grid, in_pixels, probabilities

TITLE = "one output (places, 5 + classes), one place to a cell"


def fits(outputs: Outputs, about: About) -> bool:
    """Whether the shapes are of this head."""
    shapes = float_shapes(outputs)
    if len(outputs) != 1 or len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] < 6:
        return False
    count, width = shapes[0]
    # One more or less may be the other layout's: then the number of classes says which.
    return bool(cells(about, count)) and width != 4 + about.classes


def decode(outputs: Outputs, about: About) -> Found:
    """Boxes and class scores, objectness multiplied in."""
    (values,) = (np.asarray(value, np.float32) for value in outputs.values())
    corners, steps = grid(about, cells(about, values.shape[1]))
    centres = (corners + 0.5) * steps
    raw = np.concatenate([(values[..., :2] + corners) * steps, np.exp(np.minimum(values[..., 2:4], 20)) * steps], -1)
    # Decoded centres lie around their cells; raw ones, taken for pixels, all lie in the picture's corner.
    decoded = in_pixels(values[..., :4], centres, about.size)
    far = [float(np.abs(found[..., :2] - centres).mean()) for found in (raw, decoded)]
    boxes = corners_of(raw if far[0] <= far[1] else decoded)
    scores = probabilities(values[..., 4:], about.scores)
    return Found(boxes, scores[..., :1] * scores[..., 1:])
