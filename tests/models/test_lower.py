"""What is said where a network cannot become ONNX."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor, nn

from edgepipe.errors import PassError
from edgepipe.models.lower import export


class _Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.layer(inputs)
        return found * 2 if found.mean() > 0 else found


@pytest.mark.parametrize(
    ("network", "said"),
    [(nn.Conv2d(1, 4, 3), "input.*to have 1 channels, but got 3 channels"), (_Branches(), "data-dependent")],
)
def test_a_network_that_cannot_be_lowered_says_why(network: nn.Module, said: str, tmp_path: Path) -> None:
    with pytest.raises(PassError, match=said) as caught:
        export(network, tmp_path / "m.onnx", (3, 8, 8), opset=20, batch="dynamic")
    assert "\x1b" not in str(caught.value)
    assert "step 1/3" not in str(caught.value)
