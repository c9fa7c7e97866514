"""Super resolution at the small picture's size: pixels of the large one are channels until the end."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Espcn(nn.Module):
    """Three convolutions and a pixel shuffle, about 22 to 27 thousand parameters.

    ReLU, which int8 fuses with its convolution, where the paper has tanh. Out: float32, (n, channels, scale * height,
    scale * width), in the range of the labels. Source: Shi et al., CVPR 2016, arXiv:1609.05158.
    """

    def __init__(self, channels: int, scale: int, width: int = 64) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.last = nn.Conv2d(width // 2, channels * scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)
        with torch.no_grad():
            assert self.last.bias is not None
            self.last.bias.fill_(0.5)  # a grey picture, from which training need not find its way first

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, height, width)."""
        large: Tensor = self.shuffle(self.last(self.body(inputs)))
        return large


def build(channels: int, scale: int, width: int) -> nn.Module:
    """The network, random."""
    return Espcn(channels, scale, width)
