"""Small networks as a source of models: built alike each time, kept as artifacts, lowered to ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from edgepipe.contract import ONNX_FILE, Signature
from edgepipe.errors import ModelError
from edgepipe.onnx.answers import session_answers
from edgepipe.sources.small import SmallModel
from edgepipe.testing import check_source
from edgepipe.torch import artifact as torch_artifact
from edgepipe.torch.lower import export


@pytest.mark.parametrize("name", ["detector", "unet", "ds_cnn"])
def test_it_keeps_the_contract(name: str) -> None:
    check_source(SmallModel(name=name, width=4), signature=_signature(32))


def _signature(side: int, classes: tuple[str, ...] = ("ant", "bee")) -> Signature:
    return Signature(input_shape=(3, side, side), classes=classes)


def test_it_is_loaded_from_its_own_checkpoint(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first = SmallModel(name="espcn", scale=3, width=8).load(tmp_path / "one", _signature(8), 0)
    weights = str(first.path / "weights.safetensors")
    again = SmallModel(name="espcn", scale=3, width=8, weights=weights).load(tmp_path / "two", _signature(8), 5)
    inputs = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(torch_artifact.build(first)(inputs), torch_artifact.build(again)(inputs))


def test_what_a_network_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="scale: 'unet' has none"):
        SmallModel(name="unet", scale=2)
    with pytest.raises(ValidationError, match="num_classes: 'espcn' has none"):
        SmallModel(name="espcn", num_classes=2)
    with pytest.raises(ModelError, match="the data names no classes"):
        SmallModel(name="unet").load(tmp_path, _signature(8, ()), 0)
    with pytest.raises(ModelError, match=r"'detector' takes .* from 32 on"):
        SmallModel(name="detector").load(tmp_path, _signature(16), 0)


@pytest.mark.parametrize(("name", "side"), [("detector", 40), ("unet", 20)])
def test_onnx_runtime_answers_the_same_for_any_batch(name: str, side: int, tmp_path: Path) -> None:
    made = SmallModel(name=name, width=4).load(tmp_path, _signature(side), 0)
    network, file = torch_artifact.build(made), tmp_path / ONNX_FILE
    export(network, file, (3, side, side), opset=20, batch="dynamic")
    answers = session_answers(file)
    for count in (1, 3):
        inputs = np.random.default_rng(0).random((count, 3, side, side), np.float32)
        with torch.no_grad():
            wanted = network(torch.from_numpy(inputs)).numpy()
        assert np.allclose(np.asarray(answers(inputs)).reshape(wanted.shape), wanted, atol=1e-4)
