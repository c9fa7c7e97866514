"""What detectors with the head of YOLOX learn by: a place is given to an object by how well it already answers it.

Source: Ge et al., YOLOX: Exceeding YOLO Series in 2021, arXiv:2107.08430 (SimOTA; weights of the parts).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import DataError, ModelError

_STRIDES = ((8, 16, 32), (8, 16, 32, 64))
_SIZE_ROW = -2.0
"""Class of the row that says how large the network's input is."""
_CANDIDATES = 10
"""Best-overlapping places whose overlaps add up to how many an object is given."""
_RADIUS = 2.5
"""Cells from an object's middle within which places may be given to it."""
_BOX = 5.0
_LARGEST = 12.0
"""Logarithm of the most cells of a box's side: beyond, `exp` would overflow at the start of a wild training."""


class Grid(NamedTuple):
    """Places of a head, torch tensors: corners in cells, (places, 2) as x, y, and strides, (places, 1)."""

    corners: Any
    strides: Any

    @property
    def centres(self) -> Any:
        """In pixels, (places, 2)."""
        return (self.corners + 0.5) * self.strides


def with_size(boxes: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes, (n, most, 6), with a last row each that tells the loss the input's (height, width)."""
    row = np.zeros((len(boxes), 1, 6), np.float32)
    row[..., 2], row[..., 3], row[..., 4] = size[1], size[0], _SIZE_ROW
    return np.concatenate([np.asarray(boxes, np.float32), row], axis=1)


def yolox_loss(outputs: Any, targets: Any) -> Any:
    """Sum of the losses of boxes (1 - IoU^2), objectness and classes (binary cross-entropy), per place given.

    Args:
        outputs: float32, (n, places, 5 + classes), raw: offsets in cells, logarithms of cells, logits.
        targets: float32, (n, most + 1, 6), as `with_size` gives them: x1, y1, x2, y2 in pixels, class (-1: none),
            ignored.
    Raises:
        ModelError: the outputs are none of a head over maps of strides 8, 16, 32 (64).
        DataError: a class that the head does not have.
    """
    import torch
    from torch.nn import functional

    raw = next(iter(outputs.values())) if isinstance(outputs, dict) else outputs
    raw = raw[0] if isinstance(raw, (tuple, list)) else raw
    height, width = (int(targets[0, -1, column]) for column in (3, 2))
    grid = _grid(raw, height, width)
    boxes = torch.cat(
        [(raw[..., :2] + grid.corners) * grid.strides, raw[..., 2:4].clamp(max=_LARGEST).exp() * grid.strides], -1
    )
    given = torch.zeros((), device=raw.device)
    found = [torch.zeros((), device=raw.device) for _ in range(3)]
    for one, said, rows in zip(boxes, raw, targets, strict=True):
        real = rows[rows[:, 4] >= 0]
        wanted, ignored = real[real[:, 5] == 0], real[real[:, 5] != 0]
        if len(wanted) and int(wanted[:, 4].max()) >= said.shape[1] - 5:
            raise DataError(
                f"a box is of class {int(wanted[:, 4].max())}, and the network has {said.shape[1] - 5}: give it as "
                "many as the data has, of model=small by model.num_classes"
            )
        places, objects, overlaps = assigned(one.detach(), said.detach(), wanted, grid)
        hit = torch.zeros(len(one), device=raw.device)
        hit[places] = 1.0
        counted = torch.maximum(1.0 - _within(grid.centres, ignored[:, :4]).any(1).float(), hit)
        objectness = functional.binary_cross_entropy_with_logits(said[:, 4], hit, reduction="none")
        found[1] = found[1] + (objectness * counted).sum()
        if len(places):
            own = wanted[objects]
            found[0] = found[0] + (1 - _iou_of_pairs(one[places], own[:, :4]) ** 2).sum()
            kinds = functional.one_hot(own[:, 4].long(), said.shape[1] - 5).float() * overlaps[:, None]
            found[2] = found[2] + functional.binary_cross_entropy_with_logits(said[places, 5:], kinds, reduction="sum")
            given = given + len(places)
    return (_BOX * found[0] + found[1] + found[2]) / given.clamp(min=1)


def assigned(boxes: Any, said: Any, wanted: Any, grid: Grid) -> tuple[Any, Any, Any]:
    """(places, the object that each is given to, their IoU) by SimOTA: places compete for objects by what they cost.

    Args:
        boxes: float32, (places, 4), middle and size in pixels; said: (places, 5 + classes), logits behind the fourth.
        wanted: (objects, 6).
    """
    import torch
    from torch.nn import functional

    if not len(wanted):
        nothing = torch.zeros(0, dtype=torch.int64, device=boxes.device)
        return nothing, nothing, torch.zeros(0, device=boxes.device)
    centres = grid.centres
    inside = _within(centres, wanted[:, :4])
    middles = (wanted[:, :2] + wanted[:, 2:4]) / 2
    near = ((centres[:, None] - middles[None]).abs() < _RADIUS * grid.strides[:, None]).all(-1)
    able = (inside | near).any(1).nonzero()[:, 0]
    if not len(able):  # a box smaller than any cell, at the very edge
        able = ((centres[:, None] - middles[None]) ** 2).sum(-1).argmin(0).unique()
    overlaps = _iou(boxes[able], wanted[:, :4])
    scores = (said[able, 5:].sigmoid() * said[able, 4:5].sigmoid()).sqrt()
    kinds = functional.one_hot(wanted[:, 4].long(), scores.shape[1]).float()
    shape = (len(able), len(wanted), scores.shape[1])
    unlike = functional.binary_cross_entropy(
        scores[:, None].expand(shape).clamp(0, 1), kinds[None].expand(shape), reduction="none"
    ).sum(-1)
    cost = unlike - 3 * overlaps.clamp(min=1e-8).log() + 1e5 * ~(inside & near)[able]
    chosen = torch.zeros_like(cost, dtype=torch.bool)
    best = overlaps.topk(min(_CANDIDATES, len(able)), dim=0).values.sum(0).int().clamp(min=1)
    for column, count in enumerate(best.tolist()):
        chosen[cost[:, column].topk(min(count, len(able)), largest=False).indices, column] = True
    twice = chosen.sum(1) > 1
    if bool(twice.any()):
        chosen[twice] = functional.one_hot(cost[twice].argmin(1), len(wanted)).bool()
    rows, objects = chosen.nonzero(as_tuple=True)
    return able[rows], objects, overlaps[rows, objects]


def _grid(raw: Any, height: int, width: int) -> Grid:
    import torch

    for strides in _STRIDES:
        sizes = [(-(-height // stride), -(-width // stride)) for stride in strides]
        if raw.ndim == 3 and sum(rows * columns for rows, columns in sizes) == raw.shape[1] and raw.shape[2] > 5:
            corners, steps = [], []
            for (rows, columns), stride in zip(sizes, strides, strict=True):
                y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
                corners.append(torch.stack([x.flatten(), y.flatten()], 1).float())
                steps.append(torch.full((rows * columns, 1), float(stride)))
            return Grid(torch.cat(corners).to(raw.device), torch.cat(steps).to(raw.device))
    raise ModelError(
        f"detection trains a head (n, places, 5 + classes) with a place for each cell of strides 8, 16 and 32, raw as "
        f"model=small model.name=detector gives it; this network gives {tuple(raw.shape)} for {height}x{width} pixels"
    )


def _within(points: Any, boxes: Any) -> Any:
    """(points, boxes): whether a point lies in a box."""
    x, y = points[:, None, 0], points[:, None, 1]
    return (x > boxes[:, 0]) & (x < boxes[:, 2]) & (y > boxes[:, 1]) & (y < boxes[:, 3])


def _corners(boxes: Any) -> Any:
    import torch

    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def _overlap(one: Any, other: Any) -> Any:
    """IoU of boxes as corners, broadcast."""
    import torch

    low, high = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    areas = [(each[..., 2:] - each[..., :2]).clamp(min=0).prod(-1) for each in (one, other)]
    return both / (areas[0] + areas[1] - both).clamp(min=1e-7)


def _iou(boxes: Any, wanted: Any) -> Any:
    """(places, objects), of middles and sizes with corners."""
    return _overlap(_corners(boxes)[:, None], wanted[None])


def _iou_of_pairs(boxes: Any, wanted: Any) -> Any:
    return _overlap(_corners(boxes), wanted)
