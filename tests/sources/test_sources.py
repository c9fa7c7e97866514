"""Where networks come from: checkpoints that fit and misfit, the user's own factory, ONNX files."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from edgepipe.__main__ import main
from edgepipe.contract import Signature
from edgepipe.data.digits import DigitsData
from edgepipe.errors import ModelError
from edgepipe.records.metrics import read_metrics
from edgepipe.sources.python import PythonModel
from edgepipe.sources.torchvision import TorchvisionModel
from edgepipe.torch import artifact as torch_artifact


@pytest.fixture(scope="module")
def signature(tmp_path_factory: pytest.TempPathFactory) -> Signature:
    return DigitsData(image_size=32, workers=0).open(tmp_path_factory.mktemp("c")).signature


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return torchvision.models.squeezenet1_1(num_classes=10).state_dict()


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_checkpoint_is_loaded(tmp_path: Path, signature, state, suffix: str, wrapped: bool) -> None:
    path = tmp_path / f"w{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state} if wrapped else state, path)
    out = tmp_path / "out"
    out.mkdir()
    artifact = TorchvisionModel(name="squeezenet1_1", weights=str(path)).load(out, signature, 0)
    assert torch.equal(torch_artifact.build(artifact).state_dict()["features.0.weight"], state["features.0.weight"])


def test_a_misfit_names_keys_and_shapes(tmp_path: Path, signature, state) -> None:
    wrong = {key: value for key, value in state.items() if key != "features.0.bias"}
    wrong["features.0.weight"] = torch.zeros(7, 3, 3, 3)
    wrong["head.weight"] = torch.zeros(2)
    save_file(wrong, tmp_path / "w.safetensors")
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelError) as caught:
        TorchvisionModel(name="squeezenet1_1", weights=str(tmp_path / "w.safetensors")).load(
            tmp_path / "out", signature, 0
        )
    text = str(caught.value)
    for part in ("features.0.bias", "head.weight", "features.0.weight", "7"):
        assert part in text


def test_an_unknown_network_is_refused_with_the_nearest_name(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert (
        main(["recipe=ptq", "model=torchvision", "model.name=resnet81", "data=digits", f"hydra.run.dir={tmp_path}/r"])
        == 2
    )
    assert "Did you mean 'resnet18'" in capfd.readouterr().err


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def test_a_pickle_bomb_does_not_go_off(tmp_path: Path, signature) -> None:
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"a": Bomb(tmp_path / "boom")}))
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelError):
        TorchvisionModel(name="squeezenet1_1", weights=str(tmp_path / "w.pth")).load(tmp_path / "out", signature, 0)
    assert not (tmp_path / "boom").exists()


_FACTORY = """
import torch
def net(width=8):
    return torch.nn.Sequential(torch.nn.Conv2d(3, width, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
                               torch.nn.Flatten(), torch.nn.Linear(width, 10))
def wrong():
    return 5
def broken():
    raise RuntimeError("no luck")
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "own_networks.py").write_text(_FACTORY)
    monkeypatch.chdir(tmp_path)
    return [
        "recipe=ptq",
        "model=python",
        "model.factory=own_networks:net",
        "data=digits",
        "data.image_size=16",
        "data.workers=0",
        "~goal",
        f"hydra.run.dir={tmp_path}/run",
    ]


def test_a_factory_runs_only_when_trusted(own: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(own) == 2
    assert "trust_code=true" in capfd.readouterr().err
    assert main([*own, "trust_code=true", "model.kwargs={width: 16}"]) == 0
    assert (tmp_path / "run" / "final" / "model.onnx").is_file()


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("own_networks:wrong", "int"),
        ("own_networks:broken", "no luck"),
        ("own_networks:nett", "nett"),
        ("nowhere:net", "nowhere"),
    ],
)
def test_a_factory_that_fails_says_how(
    own: list[str], factory: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main([*own, "trust_code=true", f"model.factory={factory}"])
    text = capfd.readouterr().err
    assert code == 2
    assert said in text
    assert "Traceback" not in text


def test_a_factory_in_a_folder_without_init_is_found_and_what_it_imports_enters_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets_without_init").mkdir()
    (tmp_path / "nets_without_init" / "tiny.py").write_text("import blocks_beside\ndef make(): ...\n")
    (tmp_path / "single_file.py").write_text("from blocks_beside import x\ndef make(): ...\n")
    (tmp_path / "blocks_beside.py").write_text("x = 1\n")
    in_folder = PythonModel(factory="nets_without_init.tiny:make", trust_code=True)
    single = PythonModel(factory="single_file:make", trust_code=True)
    assert list(in_folder.digests()["code"]) == ["blocks_beside.py", "nets_without_init/tiny.py"]
    before = single.digests()
    assert list(before["code"]) == ["blocks_beside.py", "single_file.py"]
    (tmp_path / "blocks_beside.py").write_text("x = 2\n")
    assert single.digests() != before
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "blocks_on_the_path.py").write_text("import numpy, os\ny = 1\n")
    monkeypatch.syspath_prepend(elsewhere)
    (tmp_path / "single_file.py").write_text("import blocks_on_the_path\ndef make(): ...\n")
    before = single.digests()
    assert set(before["code"]) == {"blocks_on_the_path.py", "numpy", "single_file.py"}  # a library by its version
    (elsewhere / "blocks_on_the_path.py").write_text("y = 2\n")
    assert single.digests() != before
    with pytest.raises(ModelError, match="there is no module 'nowhere_at_all"):
        PythonModel(factory="nowhere_at_all:make", trust_code=True).digests()


def test_a_change_of_code_that_leaves_the_weights_alone_is_a_miss_for_every_step(
    own: list[str], tmp_path: Path
) -> None:
    argv = [*own, "trust_code=true", "model.kwargs={width: 16}", f"store.root={tmp_path}/store"]
    code = tmp_path / "own_networks.py"
    assert main(argv) == 0
    assert main(argv) == 0
    assert all(step.cached for step in read_metrics(tmp_path / "run").passes)
    before = (tmp_path / "run" / "final" / "model.onnx").read_bytes()
    assert "ReLU" in code.read_text()
    code.write_text(code.read_text().replace("ReLU", "ELU"))
    sys.modules.pop("own_networks")  # a new process would read it again
    assert main(argv) == 0
    assert not any(step.cached for step in read_metrics(tmp_path / "run").passes)
    assert (tmp_path / "run" / "final" / "model.onnx").read_bytes() != before


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import sys\nsys.exit(0)\n", "importing leaving0 failed: SystemExit: 0"),
        ("def make():\n    raise SystemExit(0)\n", "leaving1:make failed"),
        ("print(undefined)\n", "importing leaving2 failed: NameError"),
    ],
)
def test_a_script_that_leaves_the_process_fails_the_run_and_is_recorded(
    source: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    number = next(digit for digit in "012" if f"leaving{digit}" in said)
    (tmp_path / f"leaving{number}.py").write_text(source)
    code = main(
        [
            "recipe=ptq",
            "model=python",
            f"model.factory=leaving{number}:make",
            "trust_code=true",
            "data=digits",
            "data.image_size=8",
            f"hydra.run.dir={tmp_path}/run",
            f"store.root={tmp_path}/store",
        ]
    )
    assert code == 2
    assert said in capfd.readouterr().err
    assert read_metrics(tmp_path / "run").status == "failed"
