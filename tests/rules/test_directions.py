"""Every cost and every measure of every task has a direction, and whoever judges it goes by that one."""

from __future__ import annotations

import pytest

from edgepipe.contract import Measure
from edgepipe.contract.target import Budget
from edgepipe.engine.judge import judged
from edgepipe.plugins import entries, find
from edgepipe.recipe.goals import Goal, goals_of
from edgepipe.records.figures import COSTS, QUALITY_DROP, TOLERATED, directions, numbers, tolerances
from edgepipe.records.gate import Baseline, Expected, Verdict, compare
from edgepipe.records.metrics import Environment, Estimate, GoalResult, Inputs, Measurements, Metrics, Versus
from edgepipe.records.pareto import objectives_of
from edgepipe.records.quality import TaskRecord

VALUE = 1000.0

THIRD = TaskRecord(
    name="theirs",
    measures=(Measure("recall", "recall", "higher", "found"), Measure("ece", "ECE", "lower", "far off", relative=True)),
)
"""A task that is no part of edgepipe."""
TASKS = [*(TaskRecord.of(name, find("tasks", name)) for name in sorted(entries("tasks"))), THIRD]
MEASURED = [(task, name) for task in TASKS for name in directions(task) if name not in COSTS]
GATED = [(task, name) for task in TASKS for name in tolerances(task) if name not in TOLERATED]
IDS = [f"{task.name}-{name}" for task, name in MEASURED]
WANTED = {name: str(field.description) for kind in (Goal, Budget) for name, field in kind.model_fields.items()}
"""Costs that can be wanted, with the words that people read."""


def _higher(said: str) -> bool:
    assert ("at least" in said) != ("at most" in said), f"a goal says whether it is at least or at most: {said}"
    return "at least" in said


def _known(task: TaskRecord, name: str, value: float) -> tuple[Measurements, Versus]:
    """Records that say `value` under a name, and 1 wherever they must say something."""
    measured = {key: 1 for key, field in Measurements.model_fields.items() if field.is_required()}
    versus: dict[str, object] = {"times_smaller": 1, "times_faster": 1, "times_faster_ci95": (1, 1)}
    head, _, tail = name.partition(".")
    found: dict[str, object] = {head: {tail: value} if tail else value}
    score = {each.name: {"value": value, "better": each.better} for each in task.measures if each.name == name}
    drop = {each.name: {"drop": value} for each in task.measures if each.change_name == name}
    if name == QUALITY_DROP:
        drop = {task.measures[0].name: {"drop": value}}
    said = {key: item for key, item in found.items() if key in Measurements.model_fields}
    against = {key: item for key, item in found.items() if key in Versus.model_fields}
    return (
        Measurements.model_validate({**measured, **said, "quality": score}),
        Versus.model_validate({**versus, **against, "quality": drop}),
    )


def _goal_line(task: TaskRecord, name: str, value: float) -> GoalResult:
    """The line of one goal, where everything that bears its name is `value`."""
    estimate = Estimate(name=name, low=value, high=value, measured=True, method="")
    budget = [estimate] if name in Budget.model_fields else []
    (line,) = judged({name: VALUE}, task, *_known(task, name, value), budget)
    return line


def _verdict(task: TaskRecord, name: str, value: float) -> Verdict:
    """The gate's word on one metric of a run, where the baseline has `VALUE`."""
    nowhere = Environment(
        edgepipe="", python="", platform="", cpu="", instruction_sets=[], cores=1, threads=1, libraries={}
    )
    measured, versus = _known(task, name, value)
    metrics = Metrics(
        recipe="r",
        status="ok",
        started="",
        seconds=1.0,
        task=task,
        final=measured,
        versus_baseline=versus,
        inputs=Inputs(recipe=""),
        environment=nowhere,
    )
    expected = Expected(value=VALUE, better=directions(task)[name], worse_by=0.1)
    (verdict,) = compare(metrics, Baseline(recipe="r", instruction_sets=[], metrics={name: expected}))
    return verdict


@pytest.mark.parametrize("name", WANTED)
def test_doubling_a_measure_moves_the_margin_of_its_goal_the_right_way(name: str) -> None:
    once, twice = _goal_line(THIRD, name, VALUE), _goal_line(THIRD, name, 2 * VALUE)
    higher = _higher(WANTED[name])
    assert (once.margin, once.met) == (0.0, True)
    assert twice.margin == pytest.approx(VALUE if higher else -VALUE)
    assert twice.met == higher == (COSTS[name] == "higher")


@pytest.mark.parametrize(("task", "name"), MEASURED, ids=IDS)
def test_doubling_what_a_task_measures_moves_the_margin_the_right_way(task: TaskRecord, name: str) -> None:
    _, field = goals_of(task.measures)[name]
    once, twice = _goal_line(task, name, VALUE), _goal_line(task, name, 2 * VALUE)
    assert (once.margin, once.met) == (0.0, True)
    assert twice.margin == pytest.approx(VALUE if _higher(field.description) else -VALUE)
    assert twice.met == (directions(task)[name] == "higher")


@pytest.mark.parametrize("name", TOLERATED)
def test_doubling_a_measure_moves_the_verdict_of_the_gate_the_right_way(name: str) -> None:
    higher = COSTS[name] == "higher"
    assert _verdict(THIRD, name, VALUE).status == "ok"
    assert _verdict(THIRD, name, 2 * VALUE).status == ("better" if higher else "worse")
    assert _verdict(THIRD, name, VALUE / 2).status == ("worse" if higher else "better")


@pytest.mark.parametrize(("task", "name"), GATED, ids=[f"{task.name}-{name}" for task, name in GATED])
def test_doubling_what_a_task_measures_moves_the_verdict_the_right_way(task: TaskRecord, name: str) -> None:
    higher = directions(task)[name] == "higher"
    assert _verdict(task, name, 2 * VALUE).status == ("better" if higher else "worse")
    assert _verdict(task, name, VALUE / 2).status == ("worse" if higher else "better")


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_everything_that_is_measured_can_be_wanted_and_aimed_at(task: TaskRecord) -> None:
    aims, better = objectives_of([task]), directions(task)
    for measure in task.measures:
        assert aims[measure.name] == (measure.better == "higher")
        assert better[measure.change_name] == "lower"
        assert {measure.name, measure.change_name} <= goals_of(task.measures).keys()
        measured, versus = _known(task, measure.name, VALUE)
        assert numbers(task, measured, versus)[measure.name].tolerance is not None
    assert all(COSTS[name] == ("higher" if higher else "lower") for name, higher in aims.items() if name in COSTS)


@pytest.mark.parametrize("name", Budget.model_fields)
def test_a_budget_is_judged_by_the_worse_end_of_its_estimate(name: str) -> None:
    estimate = Estimate(name=name, low=0.5 * VALUE, high=1.5 * VALUE, measured=False, method="reckoned")
    (line,) = judged({name: VALUE}, THIRD, *_known(THIRD, "macs", 1.0), [estimate])
    assert (line.got, line.margin, line.met) == (1.5 * VALUE, -0.5 * VALUE, False)
    assert line.method == "reckoned"
