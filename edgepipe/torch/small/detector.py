"""A detector of about a million parameters in dense convolutions, with the head of YOLOX."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepipe.torch.small.layers import Residual, conv

_RARE = 0.01
"""Share of places with an object that the untrained network claims, as in Lin et al., ICCV 2017, arXiv:1708.02002."""


class Detector(nn.Module):
    """Three maps of strides 8, 16 and 32, joined from the coarse to the fine one, a place a cell.

    Out: float32, (n, places, 5 + classes), map after map, row after row: offset of the middle from the cell's corner in
    cells, logarithm of width and height in cells, and logits of objectness and of each class.
    Sources: Ge et al., YOLOX, 2021, arXiv:2107.08430 (head); Lin et al., CVPR 2017, arXiv:1612.03144 (maps).
    """

    def __init__(self, channels: int, classes: int, width: int = 16) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(conv(channels, w, stride=2), conv(w, 2 * w, stride=2), Residual(2 * w))
        self.fine = nn.Sequential(conv(2 * w, 4 * w, stride=2), Residual(4 * w), Residual(4 * w))
        self.middle = nn.Sequential(conv(4 * w, 6 * w, stride=2), Residual(6 * w))
        self.coarse = nn.Sequential(conv(6 * w, 8 * w, stride=2), Residual(8 * w))
        self.sides = nn.ModuleList(conv(size, 4 * w, 1) for size in (4 * w, 6 * w, 8 * w))
        self.joined = nn.ModuleList(conv(4 * w, 4 * w) for _ in range(2))
        self.heads = nn.ModuleList(_Head(4 * w, classes) for _ in range(3))

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, height, width), sides of any length from 32 pixels on."""
        fine = self.fine(self.stem(inputs))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        maps = [side(found) for side, found in zip(self.sides, (fine, middle, coarse), strict=True)]
        for level in (1, 0):
            above = functional.interpolate(maps[level + 1], size=maps[level].shape[-2:], mode="nearest")
            maps[level] = self.joined[level](maps[level] + above)
        return torch.cat([head(found) for head, found in zip(self.heads, maps, strict=True)], 1)


class _Head(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.boxes, self.kinds = conv(channels, channels), conv(channels, channels)
        self.place = nn.Conv2d(channels, 5, 1)
        self.kind = nn.Conv2d(channels, classes, 1)
        with torch.no_grad():
            for bias in (self.place.bias, self.kind.bias):
                assert bias is not None
                bias.zero_()[(4 if bias is self.place.bias else 0) :] = -math.log((1 - _RARE) / _RARE)

    def forward(self, inputs: Tensor) -> Tensor:
        found = torch.cat([self.place(self.boxes(inputs)), self.kind(self.kinds(inputs))], 1)
        return found.flatten(2).transpose(1, 2)


def build(channels: int, classes: int, width: int) -> nn.Module:
    """The network, random."""
    return Detector(channels, classes, width)
