"""Bundles from strangers: they bring neither the measure they are judged by nor the program that runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from edgepipe.__main__ import main
from edgepipe.bundle.manifest import Bundle, read_bundle, seal_bundle
from edgepipe.bundle.verify import problems
from tests.small import arguments


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    assert main(arguments(tmp_path, f"hydra.run.dir={tmp_path}/run")) == 0
    return tmp_path / "run" / "final"


def lie(folder: Path, outputs: float, **update: object) -> Bundle:
    """Golden outputs that are wrong, under a tolerance of the bundle's own, sealed again."""
    golden = dict(np.load(folder / "golden.npz"))
    golden["outputs"] = np.full_like(golden["outputs"], outputs)
    np.savez(folder / "golden.npz", **golden)
    return seal_bundle(folder, read_bundle(folder).model_copy(update=update))


@pytest.mark.parametrize("outputs", [1e3, float("inf"), float("nan")])
def test_a_bundles_own_tolerance_and_infinite_outputs_let_nothing_pass(bundle: Path, outputs: float) -> None:
    lie(bundle, outputs, tolerance=1e9, bit_identical=False)
    found, wrong = problems(bundle)
    assert len(wrong) == 1
    assert found.tolerance == 1e-3
    assert main(["bundle", "verify", str(bundle)]) == 1


def fake_ssh(folder: Path, script: str) -> None:
    (folder / "bin").mkdir()
    (folder / "bin" / "ssh").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / "ssh").chmod(0o755)


def test_the_device_runs_edgepipes_own_program_by_its_own_measure(bundle: Path, tmp_path: Path, monkeypatch, capfd):
    fake_ssh(tmp_path, 'for last; do :; done; exec sh -c "$last"')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    evil = f"open({str(tmp_path / 'BOOM')!r}, 'w')\n"
    for name in ("example.py", "numpy.py", "json.py"):
        (bundle / name).write_text(evil)
    seal_bundle(bundle, read_bundle(bundle))
    argv = ["device", "run", "ssh://me@there", str(bundle), "--runs", "1", "--python", sys.executable]
    assert main(argv) == 0
    assert "golden outputs ok" in capfd.readouterr().out
    lie(bundle, 1e3, tolerance=1e9, bit_identical=False)
    assert main(argv) == 1
    assert "golden outputs failed" in capfd.readouterr().out
    assert not (tmp_path / "BOOM").exists()
    assert json.loads((bundle / "bundle.json").read_text())["tolerance"] == 1e9  # the bundle itself stays as it is


def test_a_program_beside_example_py_is_named_and_an_edited_one_is_told(bundle: Path, capfd) -> None:
    assert main(["bundle", "verify", str(bundle)]) == 0
    assert "note" not in capfd.readouterr().err
    with (bundle / "example.py").open("a") as file:
        file.write("\n# more\n")
    seal_bundle(bundle, read_bundle(bundle))
    assert main(["bundle", "verify", str(bundle)]) == 0
    assert "example.py: not as this version of edgepipe writes it" in capfd.readouterr().err
    (bundle / "numpy.PY").write_text("raise SystemExit")
    (bundle / "pictures").mkdir(exist_ok=True)
    (bundle / "pictures" / "x.so").write_bytes(b"")
    seal_bundle(bundle, read_bundle(bundle))
    assert main(["bundle", "verify", str(bundle)]) == 1
    err = capfd.readouterr().err
    assert "numpy.PY: a program" in err
    assert "pictures/x.so: a program" in err


def test_a_device_that_never_stops_printing_is_ended(bundle: Path, tmp_path: Path, monkeypatch, capfd) -> None:
    fake_ssh(tmp_path, "exec yes")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    assert main(["device", "run", "ssh://me@there", str(bundle)]) == 1
    assert "said more than 1,048,576 bytes" in capfd.readouterr().err
