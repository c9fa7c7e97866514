"""Maps as large as the picture."""

from __future__ import annotations

import pytest
import torch

from edgepipe.torch.small.unet import build


@pytest.mark.parametrize(("height", "width"), [(8, 8), (24, 40), (21, 37)])
def test_maps_are_as_large_as_the_picture_of_any_size(height: int, width: int) -> None:
    assert build(3, 5, 4).eval()(torch.zeros(2, 3, height, width)).shape == (2, 5, height, width)
