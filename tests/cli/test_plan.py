"""`edgepipe plan`: what is not there and what cannot run is told before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.__main__ import main


def test_plan_names_the_files_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = tmp_path / "here.safetensors"
    here.touch()
    asked = ["plan", "recipe=resnet18_ptq", f"data.root={tmp_path}/nowhere"]
    assert main([*asked, f"model.weights={tmp_path}/none.pth"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"error: resnet18_ptq: model.weights: there is no {tmp_path}/none.pth here",
        f"error: resnet18_ptq: data.root: there is no {tmp_path}/nowhere here",
    ]
    assert main([*asked[:2], f"data.root={tmp_path}", f"model.weights={here}"]) == 0


@pytest.mark.parametrize(
    ("recipe", "override", "wanted"),
    [
        ("resnet18_ptq", "passes.quantize.keep_float=measured", "needs a step `pass: time_int8` directly before it"),
        ("resnet18_latency", "~passes.table", "needs a step `pass: tabulate_latency` directly before it"),
    ],
)
def test_a_step_that_needs_another_before_it_is_refused_before_anything_runs(
    recipe: str, override: str, wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"data.root={tmp_path}", f"model.weights={tmp_path}/w.safetensors"]
    assert main(["plan", f"recipe={recipe}", *given, override]) == 2
    assert wanted in capsys.readouterr().err


def test_plan_names_a_network_that_torchvision_does_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "recipe=resnet18_int8", "model.name=resnt18"]) == 2
    assert capsys.readouterr().err == (
        "error: resnet18_int8: model.name: torchvision has no network for classes, masks or boxes "
        "'resnt18'. "
        "Did you mean 'resnet18'?\n"
    )
