"""A U-Net of about a million parameters, for masks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepipe.torch.small.layers import conv


class UNet(nn.Module):
    """Three halvings and three doublings, each beside the map of its size from the way down.

    Doubled by the nearest neighbour, which int8 does exactly, where the paper has transposed convolutions.
    Out: float32 logits, (n, classes, height, width), as large as the input.
    Source: Ronneberger et al., MICCAI 2015, arXiv:1505.04597.
    """

    def __init__(self, channels: int, classes: int, width: int = 24) -> None:
        super().__init__()
        sizes = [width, 2 * width, 4 * width, 8 * width]
        before = [channels, *sizes[:-1]]
        self.down = nn.ModuleList(_twice(one, other) for one, other in zip(before, sizes, strict=True))
        self.up = nn.ModuleList(_twice(sizes[i + 1] + sizes[i], sizes[i]) for i in (2, 1, 0))
        self.pool = nn.MaxPool2d(2)
        self.classes = nn.Conv2d(width, classes, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, height, width), sides of any length from 8 pixels on."""
        kept: list[Tensor] = []
        found = inputs
        for level, block in enumerate(self.down):
            found = block(self.pool(found) if level else found)
            kept.append(found)
        for block, beside in zip(self.up, kept[-2::-1], strict=True):
            found = functional.interpolate(found, size=beside.shape[-2:], mode="nearest")
            found = block(torch.cat([found, beside], 1))
        logits: Tensor = self.classes(found)
        return logits


def _twice(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(conv(channels, out), conv(out, out))


def build(channels: int, classes: int, width: int) -> nn.Module:
    """The network, random."""
    return UNet(channels, classes, width)
