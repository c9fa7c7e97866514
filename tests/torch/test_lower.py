"""What is said where a network cannot become ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor, nn

from edgepipe.errors import ParityError, PassError
from edgepipe.onnx.answers import check_parity, session_answers
from edgepipe.torch.lower import export
from tests.measure.graphs import Arrays, small_network


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


class _Same(Arrays):
    def __init__(self) -> None:
        super().__init__(np.random.default_rng(0).standard_normal((6, 3, 16, 16)).astype(np.float32), None)


@pytest.mark.parametrize("draws", ["source", "file"])
def test_what_answers_differently_each_time_is_told_as_that(
    draws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = session_answers(small_network(tmp_path / "m.onnx"))
    noise = np.random.default_rng(1)

    class Drawing:
        outputs = ("y",)

        def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
            return answers(inputs) + noise.standard_normal((len(inputs), 10)).astype(np.float32)

    drawing = Drawing()
    if draws == "file":
        monkeypatch.setattr("edgepipe.onnx.answers.named_answers", lambda _file: drawing)
    with pytest.raises(ParityError, match="differently each time") as caught:
        check_parity(
            drawing if draws == "source" else answers,
            tmp_path / "m.onnx",
            _Same(),
            tolerance=1e-3,
            examples=6,
            what="the ONNX file",
        )
    assert "padding" not in str(caught.value)
    assert ("the model it was made from" in str(caught.value)) == (draws == "source")


def test_another_model_is_no_matter_of_chance(tmp_path: Path) -> None:
    answers = session_answers(small_network(tmp_path / "m.onnx"))
    with pytest.raises(ParityError, match="does not answer as the model") as caught:
        check_parity(
            lambda inputs: -answers(inputs), tmp_path / "m.onnx", _Same(), tolerance=1e-3, examples=6, what="it"
        )
    assert "padding" not in str(caught.value)
