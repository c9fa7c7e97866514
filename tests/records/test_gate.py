"""The gate over records: files of schema 1, measures of any task, chance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgepipe.contract import Measure
from edgepipe.errors import InputError
from edgepipe.records.gate import Baseline, accept, compare, fitting, read_baseline
from edgepipe.records.metrics import Environment, Inputs, Measurements, Metrics, Tolerance, Versus, read_metrics
from edgepipe.records.quality import TaskRecord

ROOT = Path(__file__).parents[2]
F1 = Measure("f1", "F1", "higher", "of the classes", unit="share")
ECE = Measure("ece", "ECE", "lower", "calibration error", worse_by=0.02)
TASK = TaskRecord(name="theirs", measures=(F1, ECE))


def run(
    f1: float, ece: float, drop: float = 0.0, alike: float = 1.0, task: TaskRecord = TASK, **more: object
) -> Metrics:
    bare = {name: 1 for name, field in Measurements.model_fields.items() if field.is_required()}
    scores = {
        "f1": {"value": f1, "ci95": (f1 - 0.02, f1 + 0.02), "better": "higher", "unit": "share"},
        "ece": {"value": ece, "ci95": (ece - 0.01, ece + 0.01), "better": "lower"},
    }
    versus = {"times_smaller": 1, "times_faster": 1, "times_faster_ci95": (1, 1), "alike": alike}
    nowhere = Environment(
        edgepipe="", python="", platform="", cpu="", instruction_sets=[], cores=1, threads=1, libraries={}
    )
    content = {
        "recipe": "r",
        "status": "ok",
        "started": "",
        "seconds": 1.0,
        "task": task,
        "final": Measurements.model_validate({**bare, "quality": scores}),
        "versus_baseline": Versus.model_validate(
            {**versus, "quality": {"f1": {"drop": drop, "ci95": (drop - 0.001, drop + 0.001)}}}
        ),
        "inputs": Inputs(recipe=""),
        "environment": nowhere,
        **more,
    }
    return Metrics.model_validate(content)


def statuses(metrics: Metrics, baseline: Baseline) -> dict[str, str]:
    return {item.name: item.status for item in compare(metrics, baseline) if item.status != "ok"}


def test_measures_of_any_task_are_accepted_and_judged_by_their_own_direction_and_tolerance() -> None:
    baseline = accept(run(0.8, 0.1))
    assert baseline.schema_version == 2
    assert {name: item.better for name, item in baseline.metrics.items() if name in ("f1", "f1_drop", "ece")} == {
        "f1": "higher",
        "f1_drop": "lower",
        "ece": "lower",
    }
    assert baseline.metrics["ece"].worse_by == 0.02
    assert statuses(run(0.8, 0.1), baseline) == {}
    assert statuses(run(0.7, 0.1, drop=0.1), baseline) == {"f1": "worse", "f1_drop": "worse"}
    assert statuses(run(0.8, 0.2, alike=0.5), baseline) == {"ece": "worse", "alike": "worse"}
    assert statuses(run(0.9, 0.05), baseline) == {"f1": "better", "ece": "better"}


def test_what_chance_explains_is_no_regression() -> None:
    baseline = accept(run(0.8, 0.1))
    (found,) = [item for item in compare(run(0.775, 0.1), baseline) if item.name == "f1"]
    assert (found.status, found.why) == ("ok", "beyond the limit, but no more than chance explains")
    (found,) = [item for item in compare(run(0.8, 0.125), baseline) if item.name == "ece"]
    assert found.status == "ok" and found.why


def test_the_recipes_tolerance_may_still_have_the_old_name() -> None:
    baseline = accept(run(0.8, 0.1))
    assert statuses(run(0.8, 0.1, alike=0.9), baseline) == {"alike": "worse"}
    lenient = run(0.8, 0.1, alike=0.9, tolerances={"agreement": Tolerance(worse_by=0.5)})
    assert statuses(lenient, baseline) == {}


def test_a_baseline_of_schema_1_is_read_with_the_names_of_today() -> None:
    found = read_baseline(ROOT / "baselines" / "resnet18_int8.json")
    assert found.schema_version == 2
    assert found.metrics["alike"].value == pytest.approx(0.99667, abs=1e-5)
    assert "agreement" not in found.metrics
    assert found.metrics["accuracy_drop"].better == "lower"
    assert all("alike" in step and "agreement" not in step for step in found.steps.values())


@pytest.mark.parametrize(
    ("record", "values", "worse"),
    [
        ("regression_1", {"mae": (1.07, "lower"), "r2": (-0.82, "higher")}, {"mae": 0.9, "r2": 0.9}),
        ("classification_1", {"top1": (0.125, "higher"), "agreement": (0.97, "higher")}, {"top1": 0.9, "alike": 0.999}),
    ],
)
def test_runs_and_baselines_of_schema_1_are_judged_together(
    record: str, values: dict[str, tuple[float, str]], worse: dict[str, float], tmp_path: Path
) -> None:
    metrics = read_metrics(Path(__file__).parent / f"{record}.json")
    entries = {name: {"value": value, "better": better, "worse_by": 0.01} for name, (value, better) in values.items()}
    path = tmp_path / "b.json"
    path.write_text(json.dumps({"schema_version": 1, "recipe": "r", "instruction_sets": [], "metrics": entries}))
    baseline = read_baseline(path)
    fitting(metrics, baseline, str(path))
    assert statuses(metrics, baseline) == {}
    stricter = {name: item.model_copy(update={"value": worse[name]}) for name, item in baseline.metrics.items()}
    judged = compare(metrics, baseline.model_copy(update={"metrics": stricter}))
    assert {item.name: item.status for item in judged} == dict.fromkeys(worse, "worse")


def test_a_baseline_written_anew_is_of_schema_2_and_keeps_the_tolerances(tmp_path: Path) -> None:
    old = {
        "schema_version": 1,
        "recipe": "r",
        "instruction_sets": [],
        "metrics": {
            "f1": {"value": 0.9, "better": "higher", "worse_by": 0.3, "relative": False},
            "agreement": {"value": 0.9, "better": "higher", "worse_by": 0.4, "relative": False},
        },
    }
    path = tmp_path / "b.json"
    path.write_text(json.dumps(old))
    new = accept(run(0.8, 0.1), read_baseline(path))
    assert {name: item.worse_by for name, item in new.metrics.items()} == {"f1": 0.3, "alike": 0.4}
    assert json.loads(new.model_dump_json())["schema_version"] == 2


@pytest.mark.parametrize(
    ("name", "better", "said"),
    [
        ("f11", "higher", "b.json: metrics.f11: no metric that can be checked. Did you mean 'f1'?"),
        ("ece", "higher", "b.json: metrics.ece.better: 'higher', but of ece the lower value is the better one"),
        ("size_bytes", "higher", "but of size_bytes the lower value is the better one"),
    ],
)
def test_a_baseline_that_does_not_fit_is_refused(name: str, better: str, said: str) -> None:
    entry = {"value": 1, "better": better, "worse_by": 0.1}
    baseline = Baseline.model_validate({"recipe": "r", "instruction_sets": [], "metrics": {name: entry}})
    with pytest.raises(InputError, match="metrics") as found:
        fitting(run(0.8, 0.1), baseline, "b.json")
    assert said in str(found.value)


def test_a_metric_of_another_task_is_missing() -> None:
    entry = {"value": 1, "better": "higher", "worse_by": 0.1}
    baseline = Baseline.model_validate({"recipe": "r", "instruction_sets": [], "metrics": {"topk": entry}})
    fitting(run(0.8, 0.1), baseline, "b.json")
    (found,) = compare(run(0.8, 0.1), baseline)
    assert (found.status, found.why) == ("missing", "the run did not measure it")
