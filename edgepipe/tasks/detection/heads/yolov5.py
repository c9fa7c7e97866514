"""YOLOv5 and YOLOv7: three places to a cell, one for each anchor, each with x, y, w, h, objectness, classes.

Either one output (places, 5 + classes), decoded to pixels, or a map of each stride with raw values: (3, rows, columns,
5 + classes) or (3 * (5 + classes), rows, columns). Of raw ones x = (2 s(x) - 0.5 + column) * stride and
w = (2 s(w))^2 * anchor, s being the sigmoid: https://arxiv.org/abs/2207.02696, https://pytorch.org/hub/ultralytics_yolov5
"""

from __future__ import annotations

import numpy as np

from .boxes import (
    About,
    Floats,
    Found,
    Outputs,
    Unfit,
    cells,
    corners_of,
    float_shapes,
    grid,
    in_pixels,
    probabilities,
)

TITLE = "one output (places, 5 + classes), three places to a cell, or a map of each stride"
ANCHORS = ((10, 13, 16, 30, 33, 23), (30, 61, 62, 45, 59, 119), (116, 90, 156, 198, 373, 326))
"""Width and height of three anchors of each of the strides 8, 16, 32: those of the networks published for COCO."""
EACH = 3


def fits(outputs: Outputs, about: About) -> bool:
    """Whether the shapes are of this head."""
    shapes = float_shapes(outputs)
    if len(shapes) == len(outputs) == 1 and len(shapes[0]) == 2:
        count, width = shapes[0]
        known = about.size != (0, 0)  # otherwise any number of places may be
        return width >= 6 and bool(cells(about, count, EACH)) and (known or count >= 1000)
    return len(shapes) == len(outputs) and len(shapes) >= 2 and bool(_strides(outputs, about))


def _strides(outputs: Outputs, about: About) -> tuple[int, ...]:
    """Of raw maps, in the order of the outputs; (): they are none."""
    found: list[int] = []
    for shape in float_shapes(outputs):
        if len(shape) == 4 and shape[0] == EACH and shape[3] >= 6:
            rows, columns = shape[1:3]
        elif len(shape) == 3 and shape[0] % EACH == 0 and shape[0] // EACH >= 6:
            rows, columns = shape[1:]
        else:
            return ()
        if about.size == (0, 0):
            found.append(8 * 2 ** len(found))
            continue
        height, width = about.size
        if rows < 1 or columns < 1 or height % rows or height // rows * columns != width:
            return ()
        found.append(height // rows)
    return tuple(found) if len(set(found)) == len(found) else ()


def decode(outputs: Outputs, about: About) -> Found:
    """Boxes and class scores, objectness multiplied in."""
    arrays = [np.asarray(value, np.float32) for value in outputs.values()]
    if arrays[0].ndim == 3:
        (values,) = arrays
        corners, steps = grid(about, cells(about, values.shape[1], EACH), EACH)
        boxes = in_pixels(values[..., :4], (corners + 0.5) * steps, about.size)
        scores = probabilities(values[..., 4:], about.scores)
        return Found(corners_of(boxes), scores[..., :1] * scores[..., 1:])
    strides = _strides(outputs, about)
    anchors = about.anchors or ANCHORS
    if len(anchors) != len(strides):
        raise Unfit(f"{len(strides)} maps of strides {list(strides)}, and anchors of {len(anchors)}: set task.anchors")
    parts: list[tuple[Floats, Floats]] = []
    for values, stride in zip(arrays, strides):  # noqa: B905  Python 3.9 on a device has no strict
        parts.append(_of_map(values, about._replace(strides=(stride,)), anchors[sorted(strides).index(stride)]))
    return Found(np.concatenate([one for one, _ in parts], 1), np.concatenate([one for _, one in parts], 1))


def _of_map(values: Floats, about: About, anchors: tuple[float, ...]) -> tuple[Floats, Floats]:
    if values.ndim == 4:
        n, channels, rows, columns = values.shape
        values = values.reshape(n, EACH, channels // EACH, rows, columns).transpose(0, 1, 3, 4, 2)
    n, _, rows, columns, width = values.shape
    raw = values.reshape(n, -1, width)
    said = probabilities(raw, about.scores)  # some exports end each map in the sigmoid already
    corners, steps = grid(about, about.strides, EACH)
    sizes = np.repeat(np.asarray(anchors, np.float32).reshape(EACH, 2), rows * columns, 0)
    boxes = np.concatenate([(2 * said[..., :2] - 0.5 + corners) * steps, (2 * said[..., 2:4]) ** 2 * sizes], -1)
    return corners_of(boxes), said[..., 4:5] * said[..., 5:]
