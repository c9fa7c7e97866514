"""DETR, Deformable DETR, RT-DETR: scores (queries, classes), boxes (queries, 4) as cx, cy, w, h in shares of the sides.

DETR's scores are logits of a softmax whose last class is "no object"; those of RT-DETR and its like stand each for
itself (a sigmoid). Which it is: `About.scores`, else the number of classes, else whether "no object" wins most queries.
Sources: Carion et al., arXiv:2005.12872; Zhao et al., arXiv:2304.08069.
"""

from __future__ import annotations

import numpy as np

from .boxes import About, Floats, Found, Outputs, cells, corners_of, probabilities, softmax

TITLE = "two outputs, class logits (queries, classes) and boxes (queries, 4)"


def fits(outputs: Outputs, about: About) -> bool:
    """Whether the shapes are of this head; further outputs, as hidden states, are passed over where names tell."""
    return _names(outputs, about) is not None


def _names(outputs: Outputs, about: About) -> tuple[str, str] | None:
    """(scores, boxes)."""
    tables = {name: value for name, value in outputs.items() if len(value.shape) == 3 and value.dtype.kind == "f"}
    for score, box in (("logits", "pred_boxes"), ("pred_logits", "pred_boxes")):
        if score in tables and box in tables:
            return score, box
    if len(tables) != 2 or len(outputs) != 2:
        return None
    boxes = [name for name, value in tables.items() if value.shape[2] == 4]
    if len(boxes) == 2:
        boxes = [name for name in boxes if "box" in name]
    if len(boxes) != 1:
        return None
    (box,) = boxes
    (score,) = (name for name in tables if name != box)
    count = tables[box].shape[1]
    if tables[score].shape[1] != count or (about.size != (0, 0) and cells(about, count)):
        return None
    return score, box


def decode(outputs: Outputs, about: About) -> Found:
    """Boxes and class scores."""
    names = _names(outputs, about)
    assert names is not None
    raw, boxes = (np.asarray(outputs[name], np.float32) for name in names)
    height, width = about.size
    boxes = corners_of(boxes) * np.array([width, height] * 2, np.float32)
    if _has_nothing(raw, about):
        return Found(boxes, softmax(raw)[..., :-1], suppressed=True)
    return Found(boxes, probabilities(raw, about.scores), suppressed=True)


def _has_nothing(raw: Floats, about: About) -> bool:
    """Whether the last class is "no object"."""
    if about.scores != "auto" or raw.shape[-1] < 2:
        return bool(about.scores == "softmax")
    if about.classes and raw.shape[-1] in (about.classes, about.classes + 1):
        return bool(raw.shape[-1] != about.classes)
    return bool((raw.argmax(-1) == raw.shape[-1] - 1).mean() > 0.5)
