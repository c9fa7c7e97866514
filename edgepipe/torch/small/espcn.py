"""Super resolution at the small picture's size: pixels of the large one are channels until the end."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Espcn(nn.Module):
    """Three convolutions and a pixel shuffle, about 22 to 27 thousand parameters.

    ReLU, which int8 fuses with its convolution, where the paper has tanh; and each pixel of the input is added to those
    that it becomes, so that training begins at the enlarged picture. Out: float32, (n, channels, scale * height,
    scale * width), in the range of the input.
    Sources: Shi et al., CVPR 2016, arXiv:1609.05158; Du et al., CVPR Workshops 2021, arXiv:2105.09750 (the addition).
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
        # A convolution and no copy, since every runtime has that in int8; it may learn more.
        self.same = nn.Conv2d(channels, channels * scale**2, 1, bias=False)
        with torch.no_grad():
            self.last.weight.mul_(0.1)
            self.same.weight.copy_(torch.eye(channels).repeat_interleave(scale**2, 0)[:, :, None, None])

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, height, width)."""
        large: Tensor = self.shuffle(self.last(self.body(inputs)) + self.same(inputs))
        return large


def build(channels: int, scale: int, width: int) -> nn.Module:
    """The network, random."""
    return Espcn(channels, scale, width)
