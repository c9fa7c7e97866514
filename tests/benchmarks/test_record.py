"""A command becomes a result with all that says where it comes from, and results become tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import record
from benchmarks.results_file import Result, read, read_all
from benchmarks.results_pages import anchor, markdown, section, summary
from edgepipe.__main__ import main
from tests.small import arguments

TABLE = "| step | faster (95%) |\n| --- | ---: |\n| load |  |\n| quantize | 2.00x |\n"


def made(tmp_path: Path, *options: str, printed: str = TABLE) -> tuple[int, Path]:
    command = [sys.executable, "-c", f"print({printed!r})"]
    return record.main(["tried", "--folder", str(tmp_path), *options, "--", *command]), tmp_path / "tried.json"


def test_the_last_table_that_a_command_prints_is_recorded_with_commit_machine_and_date(tmp_path: Path) -> None:
    code, path = made(tmp_path, "--title", "One", "--page", "here")
    assert code == 0
    result = read(path)
    assert (result.columns, result.rows) == (["step", "faster (95%)"], [["load", ""], ["quantize", "2.00x"]])
    assert result.how == "recorded" and len(result.commit) == 40 and result.machine and result.versions["onnxruntime"]
    assert result.commands == [f"python -c {record.shlex.quote(f'print({TABLE!r})')}"]


def test_a_second_recording_replaces_figures_and_keeps_the_rest(tmp_path: Path) -> None:
    made(tmp_path, "--title", "One", "--page", "here", "--after", "So it is.", "--summary", "it")
    code, path = made(tmp_path, "--title", "Two", printed=TABLE.replace("2.00x", "3.00x"))
    result = read(path)
    assert code == 0 and result.rows[-1][-1] == "3.00x"
    assert (result.title, result.page, result.after, result.summary) == ("Two", "here", "So it is.", "it")


def test_a_command_without_a_table_records_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, path = made(tmp_path, printed="no table")
    assert code == 1 and not path.exists()
    assert "nothing recorded" in capsys.readouterr().err


def test_a_finished_run_is_recorded_as_its_metrics_say(tmp_path: Path) -> None:
    assert main([*arguments(tmp_path, labels=True), f"hydra.run.dir={tmp_path}/run"]) == 0
    assert record.main(["tried", "--folder", str(tmp_path), "--run", str(tmp_path / "run")]) == 0
    result = read(tmp_path / "tried.json")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert [row[0] for row in result.rows] == ["load", "quantize", "export"]
    assert result.columns[0] == "step" and "faster (95%)" in result.columns
    assert result.commands[0].startswith("edgepipe recipe=ptq model=onnx") and "hydra.run.dir" not in result.commands[0]
    assert result.run["versus_baseline"]["times_smaller"] == metrics["versus_baseline"]["times_smaller"]  # type: ignore[index]


def test_every_result_that_is_kept_can_be_read_and_names_its_origin() -> None:
    results = read_all()
    assert len(results) > 30
    for name, result in results.items():
        told = "\n".join(section(name, result))
        assert result.commit in told and result.machine in told and result.date in told, name
    assert sum(bool(result.summary) for result in results.values()) == len(summary()) - 2


def test_rows_that_do_not_fit_their_columns_are_refused() -> None:
    whole = {
        "title": "a",
        "page": "a",
        "how": "recorded",
        "commands": ["a"],
        "commit": "0" * 40,
        "date": "",
        "machine": "",
    }
    with pytest.raises(ValueError, match="each has a cell for every column"):
        Result.model_validate({**whole, "columns": ["a"], "rows": [["1", "2"]]})
    with pytest.raises(ValueError, match="there are none"):
        Result.model_validate(whole)


def test_a_table_has_its_numbers_to_the_right_and_a_heading_its_anchor() -> None:
    assert markdown(("a", "b", "c"), [["x", "1.00", "y"]]) == ["| a | b | c |", "|:---|---:|:---|", "| x | 1.00 | y |"]
    assert anchor("A checkpoint of 85.7%, int8") == "a-checkpoint-of-857-int8"
