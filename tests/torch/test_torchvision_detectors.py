"""Detectors of torchvision answer lists of boxes of a fixed length, which are PyTorch's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgepipe.contract import Job
from edgepipe.data.drawn_shapes import ShapesData
from edgepipe.errors import ModelError
from edgepipe.sources.torchvision import TorchvisionModel
from edgepipe.torch.torchvision_detectors import OUTPUTS, Listed, answers_alike
from edgepipe.torch.torchvision_networks import build_network

DETECTOR = "ssdlite320_mobilenet_v3_large"


def test_a_detector_comes_as_onnx_with_lists_of_boxes_that_are_pytorchs(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = build_network(DETECTOR, 4)
    weights = {
        key: value + torch.randn(value.shape) * 0.2 if key.endswith(("bias", "running_mean")) else value
        for key, value in network.state_dict().items()
    }  # random ones as they are give every place the same score
    torch.save(weights, tmp_path / "c.pth")
    out = tmp_path / "out"
    out.mkdir()
    model = TorchvisionModel(name=DETECTOR, weights=str(tmp_path / "c.pth"))
    settings = ShapesData(labels="boxes", image_size=96, train_size=4, calibration_size=4, evaluation_size=4)
    data = settings.open(tmp_path)
    job = Job(out=out, state=tmp_path, data=data, seed=0, label="load")
    made = model.load(out, data.signature, 0, job)
    assert [(item.name, item.shape) for item in made.signature.outputs] == [
        *zip(OUTPUTS, [(300, 4), (300,), (300,)], strict=True)
    ]
    assert job.facts["parity"]["boxes_alike"] >= 0.95  # type: ignore[index,call-overload]
    (note,) = job.facts["notes"]  # type: ignore[misc]
    assert "pictures are 96x96, and torchvision gives this network ones of 320 pixels" in str(note)
    wrapped = Listed(build_network(DETECTOR, 4).eval()).eval()
    with pytest.raises(ModelError, match=r"of PyTorch's boxes for a drawn picture, and 95% are wanted"):
        answers_alike(wrapped, made.onnx, (96, 96))
