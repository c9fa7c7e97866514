"""Networks for masks come from torchvision as those for classes do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision import models

from edgepipe.contract import Signature
from edgepipe.contract.artifact import Kind
from edgepipe.errors import ModelError
from edgepipe.sources.torchvision import TorchvisionModel
from edgepipe.torch import artifact as torch_artifact
from edgepipe.torch.torchvision_networks import build_network, detectors, is_detector, known_names, segmenters

NAME = "lraspp_mobilenet_v3_large"
SIGNATURE = Signature(input_shape=(3, 32, 48), classes=("road", "sky", "tree"))


def test_a_segmenter_answers_maps_and_takes_a_checkpoint_that_had_another_head(tmp_path: Path) -> None:
    weights = build_network(NAME, 3).state_dict()
    torch.save({**weights, "aux_classifier.0.weight": torch.zeros(3)}, tmp_path / "c.pth")
    (tmp_path / "out").mkdir()
    made = TorchvisionModel(name=NAME, weights=str(tmp_path / "c.pth")).load(tmp_path / "out", SIGNATURE, 0)
    network = torch_artifact.build(made)
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 32, 48)).shape == (2, 3, 32, 48)
    kept = network.state_dict()
    assert all(torch.equal(kept[key], value) for key, value in weights.items())
    torch.save({**weights, "other.weight": torch.zeros(3)}, tmp_path / "d.pth")
    with pytest.raises(ModelError, match=r"not in the network: other\.weight"):
        TorchvisionModel(name=NAME, weights=str(tmp_path / "d.pth")).load(tmp_path / "out", SIGNATURE, 0)


def test_its_name_is_known_and_a_slip_of_it_told() -> None:
    assert NAME in segmenters()
    assert TorchvisionModel(name=NAME).problems() == []
    assert TorchvisionModel(name=NAME).misfits((3, 64, 64)) == []
    ((_, said),) = TorchvisionModel(name="lraspp_mobilenet_v3").problems()
    assert NAME in said


def test_detectors_are_named_come_as_onnx_and_those_with_masks_are_told() -> None:
    found = models.list_models(module=models.detection)
    others = [name for name in found if not is_detector(name)]
    assert detectors() == [name for name in found if name not in others]
    assert all("maskrcnn" in name or "keypointrcnn" in name for name in others)
    assert not any(map(is_detector, [*known_names(), *segmenters()]))
    assert TorchvisionModel(name=detectors()[0]).gives() is Kind.ONNX
    assert TorchvisionModel(name=NAME).gives() is Kind.TORCH
    ((_, said),) = TorchvisionModel(name="maskrcnn_resnet50_fpn").problems()
    assert "answers masks or key points beside its boxes" in said and "fasterrcnn_resnet50_fpn" in said
    ((_, said),) = TorchvisionModel(name=detectors()[0]).misfits((1, 64, 64))
    assert "takes pictures of 3 channels, not 1" in said
