"""Records say how well a model answers by the measures of its task, whichever they are."""

from __future__ import annotations

from edgepipe.contract import Figure, Measure
from edgepipe.records.metrics import Measurements
from edgepipe.records.quality import TaskRecord, quality

TASK = TaskRecord(
    name="counting",
    measures=(
        Measure("misses", "misses", "lower", "eggs not counted", unit="eggs"),
        Measure("found", "found", "higher", "share of the eggs", unit="share"),
    ),
)


def test_figures_are_recorded_in_the_order_of_the_measures_with_their_direction_and_unit() -> None:
    scores = TASK.scores({"found": Figure(0.5, (0.4, 0.6)), "misses": Figure(3.0)})
    assert {name: score.model_dump() for name, score in scores.items()} == {
        "misses": {"value": 3.0, "ci95": None, "better": "lower", "unit": "eggs"},
        "found": {"value": 0.5, "ci95": (0.4, 0.6), "better": "higher", "unit": "share"},
    }
    assert list(scores) == ["misses", "found"]
    assert TASK.drops({"found": Figure(-0.1, (-0.2, 0.0))})["found"].model_dump() == {"drop": -0.1, "ci95": (-0.2, 0.0)}


def test_the_headline_is_the_first_measure_with_a_value_and_higher_is_better() -> None:
    bare = {name: 0 for name, field in Measurements.model_fields.items() if field.is_required()}
    scores = TASK.scores({"misses": Figure(3.0), "found": Figure(0.5, (0.4, 0.6))})
    measured = Measurements.model_validate({**bare, "quality": scores})
    assert quality(measured, TASK) == ("misses", -3.0, "3 eggs", None)
    scores = TASK.scores({"misses": Figure(None), "found": Figure(0.5, (0.4, 0.6))})
    assert quality({"quality": {name: score.model_dump() for name, score in scores.items()}}, TASK) == (
        "found",
        0.5,
        "50.00%",
        (0.4, 0.6),
    )
    assert quality(None) is None


def test_a_recorded_task_names_every_change() -> None:
    class Counting:
        measures = TASK.measures

    recorded = TaskRecord.of("counting", Counting)  # type: ignore[arg-type]
    assert [(each.change, each.change_title) for each in recorded.measures] == [
        ("misses_rise", "misses rise"),
        ("found_drop", "found drop"),
    ]
    assert TaskRecord.model_validate_json(recorded.model_dump_json()) == recorded
