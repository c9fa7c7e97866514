"""Pictures of a size that a network does not take are refused by the plan, and no remedy names another fault's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgepipe.__main__ import main
from edgepipe.errors import DataError, ModelError, PassError
from edgepipe.sources.python import PythonModel
from edgepipe.torch.lower import export
from edgepipe.torch.torchvision_networks import misfit
from edgepipe.training import objective


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("inception_v3", (3, 64, 64), r"64x64 pixels and 3 channels.*It takes data\.image_size=75"),
        ("maxvit_t", (3, 64, 64), r"It takes data\.image_size=224"),
        ("vit_b_16", (3, 64, 32), r"64x32 pixels.*It takes data\.image_size=224"),
        ("resnet18", (1, 64, 64), r"Set data\.channels=3"),
        ("inception_v3", (3, 75, 75), None),
        ("resnet18", (3, 32, 32), None),
        ("regnet_x_400mf", (3, 32, 32), None),
    ],
)
def test_which_pictures_a_network_takes_is_known_without_building_it(
    name: str, shape: tuple[int, ...], said: str | None
) -> None:
    before = torch.random.get_rng_state()
    found = misfit(name, shape)
    assert torch.equal(before, torch.random.get_rng_state())
    if said is None:
        assert found is None
    else:
        with pytest.raises(ModelError, match=said):
            raise ModelError(found)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["model.name=inception_v3", "data.image_size=64"], "data.image_size=75"),
        (["model.name=maxvit_t", "data.image_size=64"], "data.image_size=224"),
        (["model.name=resnet18x"], "resnet18"),
    ],
)
def test_the_plan_says_so(more: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "recipe=ptq", "model=resnet18", "data=digits", *more]) == 2
    text = capfd.readouterr().err
    assert "model.name" in text
    assert said in text


def test_a_network_that_runs_nowhere_is_no_matter_of_the_operator_set(tmp_path: Path) -> None:
    with pytest.raises(PassError, match=r"does not take examples of shape \(3, 8, 8\) in PyTorch either") as caught:
        export(nn.Conv2d(1, 4, 3), tmp_path / "m.onnx", (3, 8, 8), opset=20, batch="dynamic")
    assert "opset" not in str(caught.value)


def test_the_remedies_of_a_factory_are_a_factorys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one_linear.py").write_text("import torch\ndef make(): return torch.nn.Linear(4, 3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    save_file({"other": torch.zeros(2)}, tmp_path / "w.safetensors")
    settings = PythonModel(factory="one_linear:make", weights="w.safetensors", trust_code=True)
    with pytest.raises(ModelError, match=r"Check model\.factory and model\.kwargs") as caught:
        settings.load(tmp_path, None, 0)  # type: ignore[arg-type]
    assert "model.name" not in str(caught.value)
    with pytest.raises(DataError, match=r"model\.kwargs"):
        objective.fits(torch.tensor([7]), torch.zeros(1, 3))
