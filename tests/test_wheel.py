"""The wheel, installed alone into an empty environment, runs the flagship from an empty folder."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from edgepipe.records.metrics import read_metrics

ROOT = Path(__file__).parent.parent


def run(*argv: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(item) for item in argv], cwd=cwd, capture_output=True, text=True, timeout=1500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_wheel_runs_the_flagship_from_an_empty_folder(tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path / "dist", ROOT, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    bin_ = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    run(bin_ / "python", "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel, cwd=tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    run(bin_ / "edgepipe", "recipe=resnet18_int8", "hydra.run.dir=run", cwd=empty)
    assert read_metrics(empty / "run").status == "ok"
    assert {path.name for path in empty.iterdir()} == {"run", "outputs"}
