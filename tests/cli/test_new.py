"""`edgepipe new`: a recipe that is written, not written over, and runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.__main__ import main
from tests.start import bright


def test_a_recipe_is_written_that_plan_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    bright.network(Path("m.onnx"))
    bright.pictures(Path("p"))
    assert main(["new", "m.onnx", "--data", "p", "--drop", "0.02"]) == 0
    said = capsys.readouterr()
    assert "run it: edgepipe recipe=recipes/m_int8.yaml" in said.out
    assert "found out: values of 0 to 1: top-1 100.00%, and 50.00% as it was" in said.err
    assert main(["plan", "recipe=recipes/m_int8.yaml"]) == 0
    assert "quality_drop 0.02" in capsys.readouterr().out
    assert main(["new", "m.onnx", "--data", "p"]) == 2
    assert "is there already: name another with --out, or say --force" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "say a model"),
        (["m.onnx"], "say --data PLACE"),
        (["m.onnx", "--data", "p", "--drop", "2"], "--drop: between 0 and 1"),
        (["m.onnx", "--data", "p", "channels"], "settings are KEY=VALUE"),
        (["m.onnx", "--data", "p", "trust_code=true"], "trust_code is said when the recipe runs"),
        (["m.onnx", "--data", "p", "data.source=zebra"], "zebra"),
        (["m.onnx", "--data", "p", "--task", "zebra"], "zebra"),
        (["no.onnx", "--data", "p"], "no such file"),
    ],
)
def test_a_slip_is_told_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    bright.network(Path("m.onnx"))
    bright.pictures(Path("p"), each=2)
    assert main(["new", *argv]) in (1, 2)
    said = capsys.readouterr().err
    assert words in said
    assert "defect" not in said
    assert not Path("recipes").exists()
