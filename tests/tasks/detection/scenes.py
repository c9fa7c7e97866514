"""Pictures with boxes, and what a detector of each layout would answer for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SIZE = (96, 128)
"""(height, width) of the input."""
CLASSES = 3
BOXES = np.array(
    [[[10, 20, 50, 60, 0, 0.9], [70, 8, 120, 40, 2, 0.8]], [[64.5, 32, 96.5, 80, 1, 0.7], [0, 0, 0, 0, -1, 0]]],
    np.float32,
)
"""(2, 2, 6) as a task's answers: x1, y1, x2, y2, class, score; the second picture has one box."""


def logit(values: np.ndarray) -> np.ndarray:
    values = np.clip(values, 1e-6, 1 - 1e-6)
    return np.log(values / (1 - values))


def as_centres(boxes: np.ndarray) -> np.ndarray:
    """cx, cy, w, h."""
    return np.concatenate([(boxes[..., :2] + boxes[..., 2:4]) / 2, boxes[..., 2:4] - boxes[..., :2]], -1)


def centres(strides: Sequence[int] = (8, 16, 32)) -> tuple[np.ndarray, np.ndarray]:
    """(middles of all cells as x, y; the stride of each), written as loops."""
    found, steps = [], []
    for stride in strides:
        for y in range(SIZE[0] // stride):
            for x in range(SIZE[1] // stride):
                found.append((stride * (x + 0.5), stride * (y + 0.5)))
                steps.append(stride)
    return np.array(found), np.array(steps)


def placed(strides: Sequence[int] = (8, 16, 32)) -> tuple[np.ndarray, np.ndarray]:
    """(boxes as cx, cy, w, h, (2, places, 4), scores (2, places, classes)): each at its cell of stride 16.

    Everywhere else a small box around its cell of score 0.001.
    """
    middles, steps = centres(strides)
    boxes = np.concatenate([middles, np.stack([steps, steps], 1)], 1)[None].repeat(2, 0).astype(np.float64)
    scores = np.full((2, len(middles), CLASSES), 0.001)
    for row, table in enumerate(BOXES):
        for box in table[table[:, 4] >= 0]:
            middle = as_centres(box[None, :4])[0]
            far = np.abs(middles - middle[:2]).max(1) + 1000 * (steps != 16)
            place = int(far.argmin())
            boxes[row, place] = middle
            scores[row, place, int(box[4])] = box[5]
    return boxes, scores


def crowd(seed: int = 0, count: int = 40, classes: int = CLASSES) -> tuple[np.ndarray, np.ndarray]:
    """(boxes (n, 30, 6), truth (n, 6, 6)) of a middling detector: doubles, strangers, wrong classes, equal scores."""
    draw = np.random.default_rng(seed)
    boxes, truth = np.zeros((count, 30, 6), np.float32), np.zeros((count, 6, 6), np.float32)
    boxes[..., 4] = truth[..., 4] = -1
    for row in range(count):
        there = int(draw.integers(0, 7))
        corner = draw.uniform(0, 200, (there, 2))
        truth[row, :there, :2], truth[row, :there, 2:4] = corner, corner + draw.uniform(15, 100, (there, 2))
        truth[row, :there, 4] = draw.integers(0, classes, there)
        truth[row, :there, 5] = draw.random(there) < 0.15
        said = []
        for box in truth[row, :there]:
            for _ in range(int(draw.integers(0, 4))):
                label = box[4] if draw.random() < 0.8 else draw.integers(0, classes)
                moved = box[:4] + draw.normal(0, 4, 4)
                said.append([*moved, label, draw.random()])
        for _ in range(int(draw.integers(0, 5))):
            corner = draw.uniform(0, 200, 2)
            said.append([*corner, *(corner + 30), draw.integers(0, classes), draw.random() / 2])
        if said:
            table = np.array(sorted(said, key=lambda box: -box[5]), np.float32)
            table[:, 5] = table[:, 5].round(2)
            boxes[row, : len(table)] = table
    return boxes, truth


def detections(boxes: np.ndarray) -> np.ndarray:
    """Boxes of a task's answers as a network with its own choice gives them: x1, y1, x2, y2, score, class."""
    return np.where(boxes[..., 4:5] >= 0, boxes[..., [0, 1, 2, 3, 5, 4]], 0).astype(np.float32)
