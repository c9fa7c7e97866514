"""`edgepipe list` shows what there is of every noun, whose it is and what it lacks."""

from __future__ import annotations

import subprocess
import sys
from typing import ClassVar

import pytest

from edgepipe.__main__ import main
from edgepipe.cli.list import GROUPS
from edgepipe.plugins import NOUNS, entries
from edgepipe.tasks.regression import Regression
from tests.registered import register


class Counting(Regression):
    """Counts."""

    libraries: ClassVar[tuple[str, ...]] = ("no-such-distribution",)

    most: int = 7


@pytest.mark.parametrize("what", GROUPS)
def test_every_name_of_every_noun_is_listed(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", what]) == 0
    said = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:1].strip()]
    assert [name for name in said if name != "shortcuts:"] == sorted(entries(GROUPS[what]))
    assert set(GROUPS.values()) == set(NOUNS)


def test_a_name_is_shown_with_its_settings_and_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register(monkeypatch, "tasks", counting=f"{__name__}:Counting")
    assert main(["list", "tasks", "counting"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "counting  Counts."
    assert said[1] == "  not installed here: no-such-distribution"
    assert said[-1].split() == ["most", "int", "7"]


def test_a_broken_one_is_told_and_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register(monkeypatch, "tasks", broken="edgepipe.nowhere:Broken")
    assert main(["list", "tasks"]) == 0
    said = capsys.readouterr().out
    assert "broken\n  task 'broken' cannot be loaded from 'edgepipe.nowhere:Broken'" in said
    assert "regression  " in said


def test_a_slip_is_told_with_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "formatz"]) == 2
    assert "Did you mean 'formats'" in capsys.readouterr().err
    assert main(["list", "tasks", "regresion"]) == 2
    assert "Did you mean 'regression'" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["passes", "data"])
def test_a_list_of_settings_imports_no_library_of_numbers(what: str) -> None:
    code = (
        f"import sys; from edgepipe.__main__ import main; main(['list', '{what}'])\n"
        "heavy = ('numpy', 'torch', 'onnx', 'onnxruntime', 'transformers', 'PIL')\n"
        "sys.exit(str([m for m in heavy if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
