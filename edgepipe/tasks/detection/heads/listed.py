"""Lists that the network has chosen itself: boxes (k, 4) in pixels, labels (k), scores (k), of any length.

As torchvision's detectors give them (SSD, SSDLite, RetinaNet, FCOS, Faster R-CNN), which count classes from 1, and
RT-DETR with its choice in the graph. https://pytorch.org/vision/stable/models.html#object-detection
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .boxes import About, Found, Outputs

TITLE = "three outputs, boxes (k, 4), whole labels (k) and scores (k)"


def fits(outputs: Outputs, about: About) -> bool:
    """Whether the shapes and types are of this head."""
    del about
    return _names(outputs) is not None


def _names(outputs: Outputs) -> tuple[str, str, str] | None:
    """(boxes, labels, scores)."""
    boxes = [name for name, value in outputs.items() if value.dtype.kind == "f" and value.shape[-1:] == (4,)]
    labels = [name for name, value in outputs.items() if value.dtype.kind in "iu" and len(value.shape) <= 2]
    rest = [name for name in outputs if name not in boxes + labels]
    scores = [name for name in rest if outputs[name].dtype.kind == "f" and len(outputs[name].shape) <= 2]
    if (len(outputs), len(boxes), len(labels), len(scores)) != (3, 1, 1, 1):
        return None
    return boxes[0], labels[0], scores[0]


def decode(outputs: Outputs, about: About) -> Found:
    """Boxes, scores and labels; a picture with one box may come without the axis of boxes."""
    names = _names(outputs)
    assert names is not None
    boxes, labels, scores = (rows(outputs[name], 4 if name == names[0] else 0) for name in names)
    if boxes.size and float(np.abs(boxes).max()) <= 2:  # shares of the sides
        boxes = boxes * np.array([about.size[1], about.size[0]] * 2, np.float32)
    return Found(boxes.astype(np.float32), scores.astype(np.float32), labels.astype(np.int64), suppressed=True, first=1)


def rows(value: NDArray[Any], last: int) -> NDArray[Any]:
    """(n, k) or (n, k, `last`)."""
    array = np.asarray(value)
    if last:
        return array if array.ndim == 3 else array[:, None]
    return array if array.ndim == 2 else array[:, None]
