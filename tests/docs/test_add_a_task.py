"""The page that adds a task is true: its files are written and its commands run, in an empty folder, by it alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-task.md"
_BLOCK = re.compile(r"(?:^`([\w.]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str, str]]:
    """(file or "", language, text) of every block of the page, in order."""
    return _BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def run(commands: str, folder: Path) -> str:
    """What a block of commands says."""
    site = folder / "site"
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(site), str(PAGE.parents[2])]),
        "PIP_TARGET": str(site),  # the suite's own environment stays as it is
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # "0" is pip's word for: build with what is installed
        "PIP_QUIET": "1",
    }
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page was followed to where its package is tested."""
    folder = tmp_path_factory.mktemp("followed")
    for file, _, text in blocks():
        if file:
            (folder / file).write_text(text, encoding="utf-8")
    assert "count  (count-task)  A number for each example" in run(_commands("pip install"), folder)
    return folder


def _commands(of: str) -> str:
    (found,) = (text for _, language, text in blocks() if language == "sh" and of in text)
    return found


def test_the_task_of_the_page_keeps_its_contract(followed: Path) -> None:
    assert "1 passed" in run(_commands("pytest"), followed)


def test_the_task_of_the_page_runs_to_a_verified_bundle(followed: Path) -> None:
    run(_commands("make_example"), followed)
    run(_commands("recipe=ptq"), followed)
    metrics = json.loads((followed / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["task"]["name"] == "count"
    assert [line["name"] for line in metrics["goal"]] == ["exact_drop"]
    assert 0.5 < metrics["final"]["quality"]["exact"]["value"] <= 1


def test_every_command_of_the_page_is_run_here() -> None:
    tried = ("pip install", "pytest", "make_example", "recipe=ptq")
    assert [text for _, language, text in blocks() if language == "sh"] == [_commands(of) for of in tried]
