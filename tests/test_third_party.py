"""A pass from another package: pip install, nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.small import arguments


def test_an_installed_package_adds_a_pass_that_a_recipe_uses(tmp_path: Path) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(Path(__file__).parent / "third_party", source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--target", str(site), str(source)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    environment = {**os.environ, "PYTHONPATH": str(site)}
    listed = subprocess.run(
        [sys.executable, "-m", "edgepipe", "list", "passes", "clip_weights"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "clip_weights" in listed.stdout, listed.stderr
    setting = next(line.split()[0] for line in listed.stdout.splitlines()[1:] if "required" in line or "float" in line)
    argv = arguments(tmp_path / "run", f"hydra.run.dir={tmp_path}/out", "~passes.quantize", "~passes.export")
    argv += ["+passes.clip.pass=clip_weights", f"+passes.clip.{setting}=0.05"]
    done = subprocess.run(
        [sys.executable, "-m", "edgepipe", *argv],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    steps = json.loads((tmp_path / "out" / "metrics.json").read_text())["passes"]
    assert [step["pass"] for step in steps] == ["load", "clip_weights"]
