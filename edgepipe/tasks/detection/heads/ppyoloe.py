"""PP-YOLOE and PicoDet with decoded boxes: boxes (places, 4) as x1, y1, x2, y2 in pixels, scores (classes, places).

As PaddleDetection exports them without suppression. https://github.com/PaddlePaddle/PaddleDetection
"""

from __future__ import annotations

import numpy as np

from .boxes import About, Found, Outputs, cells, probabilities

TITLE = "two outputs, boxes (places, 4) and scores (classes, places)"


def fits(outputs: Outputs, about: About) -> bool:
    """Whether the shapes are of this head."""
    return _names(outputs, about) is not None


def _names(outputs: Outputs, about: About) -> tuple[str, str] | None:
    """(boxes, scores)."""
    if len(outputs) != 2 or any(len(value.shape) != 3 or value.dtype.kind != "f" for value in outputs.values()):
        return None
    for boxes, scores in (tuple(outputs), tuple(outputs)[::-1]):
        (_, count, four), shape = outputs[boxes].shape, outputs[scores].shape
        if four == 4 and count in shape[1:] and count >= 20 and (about.size == (0, 0) or cells(about, count)):
            return boxes, scores
    return None


def decode(outputs: Outputs, about: About) -> Found:
    """Boxes and class scores."""
    names = _names(outputs, about)
    assert names is not None
    boxes, scores = (np.asarray(outputs[name], np.float32) for name in names)
    if scores.shape[1] != boxes.shape[1]:
        scores = scores.transpose(0, 2, 1)
    return Found(boxes, probabilities(scores, about.scores))
