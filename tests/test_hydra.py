"""What Hydra's users know works here, through the real command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from edgepipe.__main__ import main
from edgepipe.metrics import read_metrics
from tests.small import arguments

_OWN = """# @package _global_
defaults:
  - /model: onnx
  - /data: npz
  - _self_
passes:
  quantize:
    pass: quantize_static
    observer: {observer}
"""


def command(*argv: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgepipe", *argv],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_cfg_job_prints_the_composed_recipe_and_runs_nothing(tmp_path: Path) -> None:
    done = command("recipe=resnet18_int8", "passes.prune.ratio=0.7", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)
    assert shown["passes"]["prune"]["ratio"] == 0.7
    assert list(shown["passes"]) == ["train", "prune", "recover", "quantize", "export"]
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_over_recipes_and_a_config_dir(tmp_path: Path) -> None:
    argv = [item for item in arguments(tmp_path) if item not in ("recipe=ptq", "~goal")]
    own = tmp_path / "elsewhere"
    own.mkdir()
    for name in ("one", "two"):
        (own / f"{name}.yaml").write_text(_OWN.format(observer="mse" if name == "one" else "min_max"))
    done = command(
        "-m", "--config-dir", str(own), "recipe=one,two", *argv, f"hydra.sweep.dir={tmp_path}/sweep", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    runs = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["runs"]
    assert [run["recipe"] for run in runs] == ["one", "two"]
    observers = [read_metrics(tmp_path / "sweep" / str(job)).passes[1].settings["observer"] for job in (0, 1)]
    assert observers == ["mse", "min_max"]


def test_a_recipe_as_a_path_runs_under_its_own_name(tmp_path: Path) -> None:
    argv = [item for item in arguments(tmp_path) if item not in ("recipe=ptq", "~goal")]
    path = tmp_path / "my recipes" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(_OWN.format(observer="mse"))
    assert main([f"recipe={path}", *argv, f"hydra.run.dir={tmp_path}/run"]) == 0
    assert read_metrics(tmp_path / "run").recipe == "mine"


def test_adding_and_removing_a_step(tmp_path: Path) -> None:
    added = ["+passes.again.pass=export", "+passes.again.batch=dynamic", "~passes.export"]
    assert main(arguments(tmp_path, *added, f"hydra.run.dir={tmp_path}/run")) == 0
    assert [step.label for step in read_metrics(tmp_path / "run").passes] == ["load", "quantize", "again"]


def test_shell_completion_offers_recipes(tmp_path: Path) -> None:
    script = command("--shell-completion", "install=bash", cwd=tmp_path)
    assert "complete" in script.stdout, script.stderr
    line = "edgepipe recipe=resnet18_i"
    asked = command(
        "--shell-completion",
        "query=bash",
        cwd=tmp_path,
        env={"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_KEY": "9"},
    )
    assert "recipe=resnet18_int8" in asked.stdout, asked.stderr
