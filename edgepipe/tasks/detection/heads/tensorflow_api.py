"""TensorFlow's detection API: boxes (k, 4) as y1, x1, y2, x2 in [0, 1], classes (k) and scores (k) as floats, a count.

Outputs are known by their names, else by their order, which is that of the operator TFLite_Detection_PostProcess:
boxes, classes, scores, count. Classes count from 1 in SavedModels and from 0 in .tflite files.
https://github.com/tensorflow/models/blob/master/research/object_detection/exporter_lib_v2.py
"""

from __future__ import annotations

import numpy as np

from .boxes import About, Floats, Found, Outputs
from .listed import rows

TITLE = "boxes (k, 4), classes (k), scores (k) and a count, floats all"
_NAMED = ("detection_boxes", "detection_classes", "detection_scores")


def fits(outputs: Outputs, about: About) -> bool:
    """Whether the names or the shapes are of this head."""
    del about
    return _names(outputs) is not None


def _names(outputs: Outputs) -> tuple[str, str, str] | None:
    """(boxes, classes, scores)."""
    by_word = {word: [name for name in outputs if name.split(":")[0] == word] for word in _NAMED}
    if all(len(found) == 1 for found in by_word.values()):
        return by_word[_NAMED[0]][0], by_word[_NAMED[1]][0], by_word[_NAMED[2]][0]
    floats = [name for name, value in outputs.items() if value.dtype.kind == "f"]
    if len(outputs) != 4 or len(floats) != 4:
        return None
    sizes = {name: outputs[name].shape[1:] for name in floats}
    boxes = [name for name, shape in sizes.items() if len(shape) == 2 and shape[1] == 4]
    lists = [name for name, shape in sizes.items() if len(shape) == 1 and boxes and shape == sizes[boxes[0]][:1]]
    counts = [name for name, shape in sizes.items() if shape in ((), (1,)) and name not in lists[:2]]
    if (len(boxes), len(lists), len(counts)) != (1, 2, 1):
        return None
    return boxes[0], lists[0], lists[1]


def decode(outputs: Outputs, about: About) -> Found:
    """Boxes, scores and labels."""
    names = _names(outputs)
    assert names is not None
    boxes, labels, scores = (
        rows(np.asarray(outputs[name], np.float32), 4 if name == names[0] else 0) for name in names
    )
    if _whole(scores) and not _whole(labels):  # some exporters order the two lists by name
        labels, scores = scores, labels
    height, width = about.size
    turned = boxes[..., [1, 0, 3, 2]] * np.array([width, height] * 2, np.float32)
    first = 1 if names[0].startswith(_NAMED[0]) else 0
    return Found(turned, scores, np.rint(labels).astype(np.int64), suppressed=True, first=first)


def _whole(values: Floats) -> bool:
    return bool((values == np.rint(values)).all())
