"""Labels that say where something is, after training moved and mirrored its pictures."""

from __future__ import annotations

from typing import Any

from edgepipe.contract import Moves


def moved_pixels(targets: Any, moves: Moves) -> Any:
    """Masks, (n, h, w), or pictures, (n, channels, h, w), moved as their pictures were; the border is repeated.

    Labels that are larger or smaller than the pictures are moved by as much more or less.
    """
    import torch

    height, width = targets.shape[-2:]
    rows = torch.arange(height)[None] - _scaled(moves.down, height, moves.height)[:, None]
    columns = torch.arange(width)[None].expand(len(targets), -1)
    columns = torch.where(moves.mirrored[:, None], width - 1 - columns, columns)
    columns = columns - _scaled(moves.right, width, moves.width)[:, None]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    found = [one[..., row[:, None], column[None]] for one, row, column in zip(targets, rows, columns, strict=True)]
    return torch.stack(found)


def _scaled(shift: Any, of_label: int, of_picture: int) -> Any:
    return (shift * of_label + of_picture // 2) // of_picture if of_label != of_picture else shift


def moved_boxes(targets: Any, moves: Moves) -> Any:
    """Boxes, float32 (n, most, 6) of x1, y1, x2, y2, class, ignored, moved as their pictures were and cut at the frame.

    A box that left the frame has the class -1, as rows that only fill up have; rows of a class below that say something
    else, and stay.
    """
    import torch

    found = targets.clone()
    x = targets[..., [0, 2]] + moves.right[:, None, None]
    y = (targets[..., [1, 3]] + moves.down[:, None, None]).clamp(0, moves.height)
    x = torch.where(moves.mirrored[:, None, None], moves.width - x.flip(-1), x).clamp(0, moves.width)
    found[..., [0, 2]], found[..., [1, 3]] = x, y
    gone = (x[..., 1] - x[..., 0] < 1) | (y[..., 1] - y[..., 0] < 1)
    found[..., 4] = torch.where(gone, torch.full_like(found[..., 4], -1), found[..., 4])
    return torch.where((targets[..., 4] < -1)[..., None], targets, found)
