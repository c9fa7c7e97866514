"""Networks by name: of the size that is told, and none of another name."""

from __future__ import annotations

import pytest
import torch

from edgepipe.errors import ModelError
from edgepipe.torch.small.networks import NETWORKS, build_small, unknown_name


@pytest.mark.parametrize(("name", "least", "most"), [("detector", 0.8e6, 1.3e6), ("unet", 0.8e6, 1.3e6)])
def test_about_a_million_parameters(name: str, least: float, most: float) -> None:
    network = build_small(name, 3, 3, NETWORKS[name].width)
    assert least < sum(value.numel() for value in network.parameters()) < most


@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_shortest_side_that_is_told_is_taken(name: str) -> None:
    least = NETWORKS[name].least
    assert build_small(name, 1, 2, 4).eval()(torch.zeros(2, 1, least, least)).isfinite().all()


def test_another_name_is_refused() -> None:
    assert "did you mean" in str(unknown_name("detectr")).lower()
    with pytest.raises(ModelError, match=r"model\.name: no small network"):
        build_small("resnet", 3, 2, 4)
