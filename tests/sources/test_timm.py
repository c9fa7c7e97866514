"""Networks of timm: named, built, given weights, and compressed as torchvision's are."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from edgepipe.contract import Job, Preprocessing, Signature
from edgepipe.sources.timm import TimmModel
from edgepipe.testing import check_source
from edgepipe.testing.toys import ToyData
from edgepipe.torch.artifact import build

SHAPE = (3, 32, 32)
SIGNATURE = Signature(input_shape=SHAPE, classes=("a", "b", "c"))


@pytest.mark.slow
def test_the_source_keeps_its_contract() -> None:
    check_source(TimmModel(name="test_resnet"), signature=SIGNATURE)


def test_weights_of_a_file_are_the_networks_and_pictures_are_compared(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = timm.create_model("test_resnet", num_classes=3).eval()
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    prepared = Preprocessing(image_size=(32, 32), channels=3, interpolation="bilinear", mean=(0.4,) * 3, std=(0.5,) * 3)
    out = tmp_path / "out"
    out.mkdir()
    job = Job(out=out, state=tmp_path, data=ToyData(), seed=0, label="load")
    model = TimmModel(name="test_resnet", weights=str(tmp_path / "w.safetensors"))
    made = model.load(out, SIGNATURE.model_copy(update={"preprocessing": prepared}), 0, job)
    examples = torch.randn(2, *SHAPE)
    with torch.no_grad():
        assert torch.equal(build(made)(examples), network(examples))
    (note,) = job.facts["notes"]  # type: ignore[misc]
    assert "data.image_size is [32, 32], the model's [160, 160]" in str(note) and "data.mean" in str(note)


def test_no_classes_are_features(tmp_path: Path) -> None:
    made = TimmModel(name="test_resnet", num_classes=0).load(tmp_path, SIGNATURE, 0)
    assert build(made)(torch.zeros(1, *SHAPE)).shape[1] > 3


def test_names_sizes_and_weights_that_do_not_fit_are_told_before_anything_runs() -> None:
    ((key, said),) = TimmModel(name="resnet81").problems()
    assert key == "name" and "timm has no network 'resnet81'" in said
    ((key, said),) = TimmModel(name="test_resnet", weights="a1_in1k").problems()
    assert key == "weights" and "neither a checkpoint's file nor 'pretrained'" in said
    ((_, said),) = TimmModel(name="test_resnet").misfits((1, 32, 32))
    assert "Set data.channels=3" in said
