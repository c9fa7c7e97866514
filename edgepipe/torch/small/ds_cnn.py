"""Keywords in sound: depthwise separable convolutions over time and frequency."""

from __future__ import annotations

from torch import Tensor, nn

from edgepipe.torch.small.layers import conv

_BLOCKS = 4


class DsCnn(nn.Module):
    """One convolution of 10 by 4, four depthwise separable ones, mean, classes; about 23 thousand parameters.

    In: features of a sound, (n, channels, time, frequency); out: float32 logits, (n, classes).
    Source: Zhang et al., Hello Edge: Keyword Spotting on Microcontrollers, 2017, arXiv:1711.07128 (size S).
    """

    def __init__(self, channels: int, classes: int, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, (10, 4), stride=2, padding=(5, 1), bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.Sequential(
            *(nn.Sequential(conv(width, width, groups=width), conv(width, width, 1)) for _ in range(_BLOCKS))
        )
        self.pool, self.drop = nn.AdaptiveAvgPool2d(1), nn.Dropout(0.2)
        self.classes = nn.Linear(width, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, time, frequency), at least 4 by 4."""
        pooled = self.pool(self.blocks(self.stem(inputs))).flatten(1)
        logits: Tensor = self.classes(self.drop(pooled))
        return logits


def build(channels: int, classes: int, width: int) -> nn.Module:
    """The network, random."""
    return DsCnn(channels, classes, width)
