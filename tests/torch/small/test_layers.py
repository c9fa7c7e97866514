"""Layers keep height and width."""

from __future__ import annotations

import torch

from edgepipe.torch.small.layers import Residual, conv


def test_convolutions_keep_the_size_but_for_their_stride() -> None:
    inputs = torch.randn(2, 4, 9, 7)
    assert conv(4, 6)(inputs).shape == (2, 6, 9, 7)
    assert conv(4, 6, kernel=1)(inputs).shape == (2, 6, 9, 7)
    assert conv(4, 4, stride=2, groups=4)(inputs).shape == (2, 4, 5, 4)
    assert Residual(4)(inputs).shape == inputs.shape
