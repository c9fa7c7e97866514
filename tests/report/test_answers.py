"""How well a model answers, in the words of the measures that its record names."""

from __future__ import annotations

from edgepipe.contract import Measure
from edgepipe.records.metrics import Measurements, Versus
from edgepipe.records.quality import TaskRecord
from edgepipe.report.answers import answer_cells, answer_columns, number_text, number_title, shown

RECALL = Measure("recall", "recall", "higher", "share found", unit="share")
FAR = Measure("far", "distance", "lower", "mean distance", unit="m", change_title="distance gained")
NEVER = Measure("never", "never", "higher", "never measured")
TASK = TaskRecord(name="theirs", measures=(RECALL, FAR, NEVER))


def step(recall: float | None = 0.5) -> tuple[Measurements, Versus]:
    bare = {name: 1 for name, field in Measurements.model_fields.items() if field.is_required()}
    scores = {
        "recall": {"value": recall, "better": "higher", "unit": "share"},
        "far": {"value": 12.34, "better": "lower", "unit": "m"},
        "never": {"value": None, "better": "higher"},
    }
    drops = {"recall": {"drop": 0.0123, "ci95": (-0.001, 0.02)}, "far": {"drop": 0.5, "ci95": None}}
    versus = {"times_smaller": 1, "times_faster": 1, "times_faster_ci95": (1, 1), "alike": 0.987}
    return (
        Measurements.model_validate({**bare, "quality": scores}),
        Versus.model_validate({**versus, "quality": drops}),
    )


def test_the_headline_its_change_the_other_measures_and_what_is_alike_have_columns() -> None:
    measured, versus = step()
    measures = shown(TASK, [measured])
    assert answer_columns(measures) == ("recall", "drop (95%)", "distance", "alike")
    assert answer_cells(measures, measured, versus) == ("50.00%", "+1.23 [-0.10, +2.00]", "12.34 m", "98.70%")
    assert answer_cells(measures, None, None) == ("-", "-", "-", "-")


def test_a_headline_that_nothing_is_known_of_gives_way_to_the_next_measure() -> None:
    measured, versus = step(recall=None)
    measures = shown(TASK, [measured])
    assert answer_columns(measures) == ("distance", "rise (95%)", "alike")
    assert answer_cells(measures, measured, versus)[1] == "+0.5 m"


def test_without_a_task_there_is_nothing_to_say_of_answers() -> None:
    assert shown(None, [step()[0]]) == []
    assert answer_columns([]) == answer_cells([], *step()) == ()


def test_numbers_have_the_titles_and_units_of_their_measures() -> None:
    assert number_title(TASK, "far_rise") == "distance gained"
    assert number_text(TASK, "far", 1234.5) == "1234 m"
    assert number_text(TASK, "recall_drop", 0.01) == "+1.00 points"
    assert (number_title(TASK, "alike"), number_text(None, "alike", 0.5)) == ("answered alike", "50.00%")
    assert number_title(TASK, "size_bytes") is number_text(TASK, "size_bytes", 1.0) is None
