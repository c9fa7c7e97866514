"""What heads share: grids, activations, non-maximum suppression. Of numpy alone, for it travels with every bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Outputs = Mapping[str, NDArray[Any]]
STRIDES = ((8, 16, 32), (8, 16, 32, 64), (16, 32))
"""Pixels of the input per cell, of each map: what detectors of one pass have; `About.strides` says others."""
CANDIDATES = 1000
"""Of a picture, best-scored first: so many boxes go into the suppression, as detectors are evaluated elsewhere."""


class Unfit(ValueError):
    """Outputs that are not of the head; a sentence for people."""


class About(NamedTuple):
    """What a head is told besides the outputs.

    Attributes:
        size: (height, width) of the input in pixels.
        classes: how many the data names; 0: it does not say.
        strides: of the maps; empty: the usual ones that fit.
        anchors: width and height in pixels of each anchor of each map, in the order of the strides; empty: the usual.
        scores: "probabilities", "logits", "softmax", or "auto": by their range.
    """

    size: tuple[int, int]
    classes: int = 0
    strides: tuple[int, ...] = ()
    anchors: tuple[tuple[float, ...], ...] = ()
    scores: str = "auto"


class Found(NamedTuple):
    """What a head reads.

    Attributes:
        boxes: float32, (n, candidates, 4), x1, y1, x2, y2 in pixels of the input.
        scores: float32 in [0, 1], (n, candidates, classes), or (n, candidates) beside `labels`.
        labels: int64, (n, candidates), the class as the model numbers it; None: the scores have an axis of classes.
        suppressed: whether the network suppressed overlapping boxes itself.
        first: the number of the first class.
    """

    boxes: Floats
    scores: Floats
    labels: NDArray[np.int64] | None = None
    suppressed: bool = False
    first: int = 0


def float_shapes(outputs: Outputs) -> list[tuple[int, ...]]:
    """Shapes without the axis of examples, of the outputs of floats; an axis of unknown length is -1."""
    return [tuple(value.shape[1:]) for value in outputs.values() if np.dtype(value.dtype).kind == "f"]


def cells(about: About, count: int, each: int = 1) -> tuple[int, ...]:
    """The strides whose maps have `count` places together, `each` of them in a cell; (): none have.

    Of an input of unknown size, (0, 0), any number of places from 20 on may be one.
    """
    if about.size == (0, 0):
        return STRIDES[0] if count >= 20 and count % each == 0 else ()
    for strides in (about.strides,) if about.strides else STRIDES:
        height, width = about.size
        if each * sum(-(-height // stride) * -(-width // stride) for stride in strides) == count:
            return tuple(strides)
    return ()


def grid(about: About, strides: Sequence[int], each: int = 1) -> tuple[Floats, Floats]:
    """(corner of each cell in cells, float32 (places, 2) as x, y; stride of each, (places, 1)), map after map.

    With several places to a cell, those of one anchor lie together, map by map.
    """
    corners, steps = [], []
    height, width = about.size
    for stride in strides:
        rows, columns = -(-height // stride), -(-width // stride)
        y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
        one = np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)
        corners.append(np.tile(one, (each, 1)))
        steps.append(np.full((each * len(one), 1), stride, np.float32))
    return np.concatenate(corners), np.concatenate(steps)


def in_pixels(boxes: Floats, centres: Floats, size: tuple[int, int]) -> Floats:
    """cx, cy, w, h as pixels, where a network may give shares of the sides: whichever lies nearer to the cells."""
    whole = np.array([size[1], size[0]] * 2, np.float32)
    far = [float(np.abs(xy - centres).mean()) for xy in (boxes[..., :2], boxes[..., :2] * whole[:2])]
    return boxes if far[0] <= far[1] else boxes * whole


def corners_of(boxes: Floats) -> Floats:
    """x1, y1, x2, y2 of centre and size, (..., 4)."""
    half = boxes[..., 2:] / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], -1)


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-x)) without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), np.float32)


def softmax(values: Floats) -> Floats:
    """Along the last axis."""
    powers = np.exp(values - values.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True), np.float32)


def probabilities(scores: Floats, how: str) -> Floats:
    """Scores of one class each, by `About.scores`; auto: as they are where all lie in [0, 1]."""
    if how == "softmax":
        return softmax(scores)
    if how == "logits" or (how == "auto" and scores.size and not _within(scores)):
        return sigmoid(scores)
    return scores


def _within(scores: Floats) -> bool:
    # An int8 network's sigmoid may end a step above 1.
    return bool(scores.min() >= -0.02 and scores.max() <= 1.02)


def suppress(boxes: Floats, scores: Floats, labels: NDArray[np.int64], iou: float, most: int) -> NDArray[np.intp]:
    """Indices of the boxes that stay, best first: of two of one class that overlap by more than `iou` the better one.

    Args:
        boxes: (k, 4); scores, labels: (k,).
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    if len(order):
        # Classes are moved apart, so that boxes of two never overlap.
        shifted = boxes + (labels * (float(boxes.max()) - float(boxes.min()) + 1))[:, None].astype(np.float32)
        areas = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    while len(order) and len(kept) < most:
        best, order = order[0], order[1:]
        kept.append(best)
        low = np.maximum(shifted[order, :2], shifted[best, :2])
        high = np.minimum(shifted[order, 2:], shifted[best, 2:])
        common = np.maximum(high - low, 0).prod(1)
        order = order[common <= iou * (areas[order] + areas[best] - common)]
    return np.array(kept, np.intp)
