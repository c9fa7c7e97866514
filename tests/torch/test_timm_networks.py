"""Names of timm, and what its networks take."""

from __future__ import annotations

import pytest

from edgepipe.errors import ModelError
from edgepipe.torch.timm_networks import build_network, misfit, processor, unknown_name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet81", "timm has no network 'resnet81'"),
        ("resnet18.odd", "timm has no weights 'odd' of resnet18"),
        ("hf-hub:some/model", "is an address: give the name of a network"),
    ],
)
def test_a_name_that_is_none_is_told(name: str, said: str) -> None:
    assert said in (unknown_name(name) or "")
    with pytest.raises(ModelError, match=r"model\.name: "):
        build_network(name, 3)


def test_a_network_may_be_named_with_its_weights() -> None:
    assert unknown_name("test_resnet") is None and unknown_name("test_resnet.r160_in1k") is None
    assert misfit("test_resnet", (3, 64, 64)) is None
    assert "Set data.channels=3" in (misfit("test_resnet", (1, 64, 64)) or "")
    assert processor("test_resnet.r160_in1k")["size"] == {"height": 160, "width": 160}
