"""A metrics.json of schema 1 is read as one of schema 2, and scripts that read schema 1 find a classification."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgepipe.contract import Task
from edgepipe.errors import InputError
from edgepipe.plugins import find
from edgepipe.records import old
from edgepipe.records.metrics import Measurements, Proof, Versus, read_metrics
from edgepipe.records.quality import TaskRecord

HERE = Path(__file__).parent
BARE: dict[str, Any] = {name: 0 for name, field in Measurements.model_fields.items() if field.is_required()}
SPEED = {"times_smaller": 1.0, "times_faster": 1.0, "times_faster_ci95": (1.0, 1.0)}


def test_a_committed_file_of_a_classification_reads_with_its_task_and_quality() -> None:
    metrics = read_metrics(HERE / "classification_1.json")
    assert metrics.schema_version == 2
    assert metrics.task is not None
    assert metrics.final is not None
    assert metrics.versus_baseline is not None
    assert (metrics.task.name, [each.name for each in metrics.task.measures]) == ("classification", ["top1", "top5"])
    raw = json.loads((HERE / "classification_1.json").read_text())
    top1 = metrics.final.quality["top1"]
    assert (top1.value, top1.better, top1.unit) == (raw["final"]["top1"], "higher", "share")
    assert list(top1.ci95 or ()) == raw["final"]["top1_ci95"]
    assert metrics.versus_baseline.quality["top1"].drop == raw["versus_baseline"]["accuracy_drop"]
    assert metrics.versus_baseline.alike == raw["versus_baseline"]["agreement"]
    (proof,) = metrics.proofs
    assert (proof.alike, proof.quality, proof.quality_here) == (0.99, {"top1": 0.5}, {"top1": 0.51})


def test_a_committed_file_of_a_regression_keeps_its_error_and_its_rise() -> None:
    metrics = read_metrics(HERE / "regression_1.json")
    assert metrics.task is not None
    assert metrics.final is not None
    assert metrics.versus_baseline is not None
    raw = json.loads((HERE / "regression_1.json").read_text())
    assert metrics.task.name == "regression"
    assert metrics.final.quality["mae"].value == raw["final"]["mae"]
    assert metrics.final.quality["mae"].better == "lower"
    assert metrics.versus_baseline.quality["mae"].drop == raw["versus_baseline"]["mae_rise"]
    assert metrics.versus_baseline.quality["mae"].ci95 == tuple(raw["versus_baseline"]["mae_rise_ci95"])
    assert metrics.versus_baseline.alike is None


def test_what_was_read_is_written_and_read_again_alike() -> None:
    metrics = read_metrics(HERE / "classification_1.json")
    assert type(metrics).model_validate_json(metrics.model_dump_json(by_alias=True)) == metrics


def test_another_schema_is_refused(tmp_path: Path) -> None:
    content = json.loads((HERE / "classification_1.json").read_text()) | {"schema_version": 3}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="schema_version"):
        read_metrics(tmp_path)


def test_a_classification_is_still_written_under_the_names_of_schema_1() -> None:
    score = {"value": 0.5, "ci95": (0.4, 0.6), "better": "higher", "unit": "share"}
    measured = Measurements.model_validate({**BARE, "quality": {"top1": score, "top5": {**score, "value": None}}})
    assert (measured.top1, measured.top1_ci95, measured.top5) == (0.5, (0.4, 0.6), None)
    versus = Versus.model_validate(
        {**SPEED, "alike": 0.9, "quality": {"top1": {"drop": -0.1, "ci95": (-0.2, 0.0)}}},
    )
    assert (versus.accuracy_drop, versus.accuracy_drop_ci95, versus.agreement) == (-0.1, (-0.2, 0.0), 0.9)
    proof = Proof(target="t", place="p", examples=2, alike=1.0, quality={"top1": 0.5}, quality_here={"top1": 1.0})
    assert (proof.agreement, proof.top1, proof.top1_here) == (1.0, 0.5, 1.0)


def test_a_task_of_its_own_is_written_under_no_old_name() -> None:
    f1 = {"value": 0.5, "better": "higher"}
    measured = Measurements.model_validate({**BARE, "quality": {"f1": f1}})
    versus = Versus.model_validate({**SPEED, "alike": 0.9, "quality": {"f1": {"drop": 0.1}}})
    assert (measured.top1, versus.accuracy_drop, versus.agreement) == (None, None, None)
    assert (measured.quality["f1"].value, versus.quality["f1"].drop, versus.alike) == (0.5, 0.1, 0.9)


@pytest.mark.parametrize("name", old.TASKS)
def test_the_old_tables_say_what_the_tasks_say(name: str) -> None:
    now = TaskRecord.of(name, find("tasks", name)).measures
    then = TaskRecord.of(name, type("Then", (Task,), {"measures": old.TASKS[name]})).measures
    assert now[: len(then)] == then  # a task may measure more by now
