"""PicoDet and NanoDet without decoding: of each stride scores (places, classes) and distances (places, 4 * bins).

A box's sides lie at distances from its cell's middle, each the mean of a softmax over bins, in cells: left, top, right,
bottom. Sources: Li et al., Generalized Focal Loss, arXiv:2006.04388; Yu et al., PP-PicoDet, arXiv:2111.00902.
"""

from __future__ import annotations

import numpy as np

from .boxes import About, Floats, Found, Outputs, grid, probabilities, softmax

TITLE = "of each stride scores (places, classes) and distances (places, 4 * bins)"
STRIDES = (8, 16, 32, 64)


def fits(outputs: Outputs, about: About) -> bool:
    """Whether the shapes are of this head."""
    return bool(_pairs(outputs, about))


def _pairs(outputs: Outputs, about: About) -> list[tuple[int, str, str]]:
    """(stride, scores, distances) of each map; []: they are none."""
    if len(outputs) < 4 or len(outputs) % 2 or any(len(value.shape) != 3 for value in outputs.values()):
        return []
    if any(value.dtype.kind != "f" for value in outputs.values()) or about.size == (0, 0):
        return []
    height, width = about.size
    found = []
    for stride in about.strides or STRIDES[: len(outputs) // 2]:
        count = -(-height // stride) * -(-width // stride)
        mine = [name for name, value in outputs.items() if value.shape[1] == count]
        bins = [name for name in mine if outputs[name].shape[2] % 4 == 0 and outputs[name].shape[2] >= 16]
        if len(mine) != 2 or not bins:
            return []
        # Of two that could be, the distances stand last: exporters list the scores of all maps first.
        distances = bins[-1]
        found.append((stride, mine[0] if mine[1] == distances else mine[1], distances))
    return found if 2 * len(found) == len(outputs) else []


def decode(outputs: Outputs, about: About) -> Found:
    """Boxes and class scores."""
    boxes: list[Floats] = []
    scores: list[Floats] = []
    for stride, score, distance in _pairs(outputs, about):
        values = np.asarray(outputs[distance], np.float32)
        bins = softmax(values.reshape(*values.shape[:2], 4, -1))
        sides = (bins * np.arange(bins.shape[-1], dtype=np.float32)).sum(-1) * stride
        corners, steps = grid(about, (stride,))
        middle = (corners + 0.5) * steps
        boxes.append(np.concatenate([middle - sides[..., :2], middle + sides[..., 2:]], -1))
        scores.append(np.asarray(outputs[score], np.float32))
    return Found(np.concatenate(boxes, 1), probabilities(np.concatenate(scores, 1), about.scores))
