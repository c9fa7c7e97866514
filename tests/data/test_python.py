"""A user's own loader: it runs only when trusted, and a whole run takes its examples."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from edgepipe.__main__ import main
from edgepipe.data.python import PythonData
from edgepipe.errors import DataError
from edgepipe.testing.toys import classifier

_LOADER = """
import numpy as np

def make(seed=0, wrong=False):
    def one(row):
        if wrong and row == 5:
            raise OSError("no such picture")
        return np.random.default_rng([seed, row]).random((3, 16, 16)), row % 8

    return {"calibration": [one(row) for row in range(16)], "evaluation": (one(row) for row in range(100, 132))}
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "own_loader.py").write_text(_LOADER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own_loader", raising=False)  # of another test's folder
    monkeypatch.syspath_prepend(tmp_path)
    model = classifier(tmp_path / "m.onnx")
    places = [f"hydra.run.dir={tmp_path}/run", f"store.root={tmp_path}/store"]
    return ["recipe=ptq", "model=onnx", f"model.path={model}", "data=python", "~goal", *places]


def test_a_loader_runs_only_when_trusted(own: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    argv = [*own, "data.factory=own_loader:make", "measure.latency_seconds=0.1"]
    assert main(argv) == 2
    assert "data.factory: 'own_loader:make' is code" in capfd.readouterr().err
    assert main([*argv, "trust_code=true"]) == 0
    assert (tmp_path / "run" / "final" / "model.onnx").is_file()


def test_what_fails_in_it_is_told_with_its_line(
    own: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    argv = [*own, "data.factory=own_loader:make", "trust_code=true"]
    assert main([*argv, "data.kwargs={wrong: true}"]) == 2
    said = "".join(capfd.readouterr().err.split())
    assert f"own_loader:makefailed({tmp_path}/own_loader.py:7):OSError:nosuchpicture" in said
    assert "Traceback" not in said
    assert not (tmp_path / "run" / "final").exists()


def test_a_recipe_cannot_trust_itself(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="add trust_code=true to the command line"):
        PythonData(factory="os:getcwd").open(tmp_path)
    with pytest.raises(ValidationError, match="factory"):
        PythonData(factory="os.getcwd")
