"""The numbers of a step under the names that goals, the gate and searches have for them."""

from __future__ import annotations

from edgepipe.contract import Measure
from edgepipe.records.figures import COSTS, Number, measure_of, numbers, tolerances
from edgepipe.records.metrics import Measurements, Versus
from edgepipe.records.quality import TaskRecord

F1 = Measure("f1", "F1", "higher", "of the classes", unit="share")
FAR = Measure("far", "distance", "lower", "in metres", worse_by=0.1, relative=True)
TASK = TaskRecord(name="toy", measures=(F1, FAR))


def known() -> tuple[Measurements, Versus]:
    bare = {name: 0 for name, field in Measurements.model_fields.items() if field.is_required()}
    scores = {"f1": {"value": 0.5, "ci95": (0.4, 0.6), "better": "higher"}, "far": {"value": None, "better": "lower"}}
    measured = Measurements.model_validate({**bare, "macs": 7, "int8_share": {"conv": 1.0}, "quality": scores})
    versus = {"times_smaller": 3.5, "times_faster": 2, "times_faster_ci95": (1, 3), "alike": 0.9}
    return measured, Versus.model_validate({**versus, "quality": {"f1": {"drop": 0.1, "ci95": (0.0, 0.2)}}})


def test_measures_their_changes_alike_and_costs_have_one_name_each() -> None:
    found = numbers(TASK, *known())
    assert found["f1"] == Number(0.5, "higher", (0.4, 0.6), tolerances(TASK)["f1"])
    assert found["f1_drop"] == Number(0.1, "lower", (0.0, 0.2), tolerances(TASK)["f1_drop"])
    assert found["quality_drop"][:3] == (0.1, "lower", (0.0, 0.2))  # that of the headline, whatever the task
    assert (found["alike"].value, found["alike"].better) == (0.9, "higher")
    assert {name: found[name].value for name in ("macs", "int8_share.conv", "times_smaller", "times_faster")} == {
        "macs": 7.0,
        "int8_share.conv": 1.0,
        "times_smaller": 3.5,
        "times_faster": 2.0,
    }
    assert "far" not in found  # it has no value
    assert numbers(None, None, None) == {}


def test_what_a_task_measures_is_not_known_without_the_task() -> None:
    assert set(numbers(None, *known())) <= {*COSTS, "alike"}


def test_the_gate_judges_every_measure_and_the_change_of_the_headline() -> None:
    found = tolerances(TASK)
    assert (found["f1"].worse_by, found["f1_drop"].worse_by, found["far"].relative) == (0.01, 0.01, True)
    assert "far_rise" not in found
    assert "alike" in found
    assert "alike" not in tolerances(None)


def test_a_number_leads_back_to_its_measure() -> None:
    for name, changed in (("far", False), ("far_rise", True)):
        measure, change = measure_of(TASK, name)
        assert measure is not None
        assert (measure.name, change) == ("far", changed)
    assert measure_of(TASK, "quality_drop") == (F1, True)
    assert measure_of(TASK, "size_bytes") == (None, False)
    assert measure_of(None, "far") == (None, False)
