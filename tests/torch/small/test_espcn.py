"""A larger picture."""

from __future__ import annotations

import pytest
import torch

from edgepipe.torch.small.espcn import build


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_the_picture_is_so_many_times_larger_and_nearly_the_same_at_first(scale: int) -> None:
    with torch.no_grad():
        found = build(3, scale, 8).eval()(torch.full((2, 3, 6, 5), 0.5))
    assert found.shape == (2, 3, 6 * scale, 5 * scale)
    assert float(found.mean()) == pytest.approx(0.5, abs=0.15)
