"""The fixture `edgepipe_run`, in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgepipe.__main__ import main
from tests.small import arguments


@pytest.fixture
def project(tmp_path: Path) -> Path:
    argv = arguments(tmp_path)
    run = tmp_path / "run"
    assert main([*argv, f"hydra.run.dir={run}"]) == 0
    assert main(["accept", str(run), "--baseline", str(tmp_path / "b.json")]) == 0
    overrides = ", ".join(repr(item) for item in argv[1:])
    (tmp_path / "test_it.py").write_text(f"""
def test_same(edgepipe_run):
    metrics = edgepipe_run("ptq", {overrides}, baseline="b.json")
    assert metrics.final.int8_share.conv == 1.0

def test_worse(edgepipe_run):
    edgepipe_run("ptq", {overrides}, "passes.quantize.exclude=[Conv]", baseline="b.json")

def test_missed(edgepipe_run):
    edgepipe_run("ptq", {overrides.replace("'~goal', ", "")}, "goal.times_smaller=90")

def test_refused(edgepipe_run):
    edgepipe_run("ptqq")

def test_unverified(edgepipe_run):
    edgepipe_run("ptq", {overrides}, "verify=[arm64]", "require_verify=true", baseline="b.json")
""")
    return tmp_path


def test_the_fixture_passes_fails_and_says_why(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "test_it.py"],
        cwd=project,
        env={**os.environ, "PATH": "/nowhere"},  # so that no emulator is found
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "4 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "since step quantize" in done.stdout
    assert "times_smaller: " in done.stdout
    assert "goal 90" in done.stdout
    assert "not verified: arm64: " in done.stdout
    assert "refused with exit code 2" in done.stdout
