"""Functions take few arguments: the files in which ruff lets one take more are all needed in that list."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import edgepipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None

ROOT = Path(edgepipe.__file__).parents[1]


@pytest.mark.skipif(tomllib is None, reason="tomllib came with Python 3.11")
def test_every_file_that_may_have_functions_of_many_arguments_has_one() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    excepted = {file for file, rules in lint["per-file-ignores"].items() if "PLR0913" in rules}
    most = f"lint.pylint.max-args={lint['pylint']['max-args']}"
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "PLR0913", "--config", most]
    found = subprocess.run([*command, "--output-format", "json", "edgepipe"], cwd=ROOT, capture_output=True, text=True)
    needed = {Path(item["filename"]).relative_to(ROOT).as_posix() for item in json.loads(found.stdout)}

    assert excepted == needed, "pyproject.toml: per-file-ignores: take out what is needed no more"
