"""Every goal and every gated metric has a direction, and whoever judges it goes by that one."""

from __future__ import annotations

import itertools
from typing import TypeVar

import pytest
from pydantic import BaseModel

from edgepipe.engine.judge import judged
from edgepipe.recipe.schema import Goal
from edgepipe.records.gate import GATED, Baseline, Expected, Verdict, compare
from edgepipe.records.metrics import (
    Environment,
    Estimate,
    GoalResult,
    Inputs,
    Int8Share,
    Measurements,
    Metrics,
    Versus,
)
from edgepipe.records.pareto import OBJECTIVES
from edgepipe.targets.profile import Budget

Record = TypeVar("Record", bound=BaseModel)
VALUE = 1000.0

GOALS = {name: str(field.description) for kind in (Goal, Budget) for name, field in kind.model_fields.items()}
"""What can be wanted, with the words that people read."""


def _higher_is_better(name: str) -> bool:
    said = GOALS[name]
    assert ("at least" in said) != ("at most" in said), f"{name}: a goal says whether it is at least or at most: {said}"
    return "at least" in said


def _record(kind: type[Record], found: dict[str, object]) -> Record:
    """A record that says `found`, as far as it has such fields, and 1 wherever it must say something."""
    must: dict[str, object] = {name: 1 for name, field in kind.model_fields.items() if field.is_required()}
    must |= {name: (1, 1) for name in must if name.endswith("_ci95")}
    return kind.model_validate(must | {name: value for name, value in found.items() if name in kind.model_fields})


def _goal_line(name: str, value: float) -> GoalResult:
    """The line of one goal, where everything that bears its name is `value`."""
    estimate = Estimate(name=name, low=value, high=value, measured=True, method="")
    budget = [estimate] if name in Budget.model_fields else []
    found: dict[str, object] = {name: value}
    (line,) = judged({name: VALUE}, _record(Measurements, found), _record(Versus, found), budget)
    return line


def _verdict(name: str, value: float) -> Verdict:
    """The gate's word on one metric of a run, where the baseline has `VALUE`."""
    head, _, tail = name.partition(".")
    found: dict[str, object] = {head: Int8Share(**{tail: value}) if tail else value}
    nowhere = Environment(
        edgepipe="", python="", platform="", cpu="", instruction_sets=[], cores=1, threads=1, libraries={}
    )
    metrics = Metrics(
        recipe="r",
        status="ok",
        started="",
        seconds=1.0,
        final=_record(Measurements, found),
        versus_baseline=_record(Versus, found),
        inputs=Inputs(recipe=""),
        environment=nowhere,
    )
    expected = Expected(value=VALUE, better=GATED[name].better, worse_by=0.1)
    (verdict,) = compare(metrics, Baseline(recipe="r", instruction_sets=[], metrics={name: expected}))
    return verdict


@pytest.mark.parametrize("name", GOALS)
def test_doubling_a_measure_moves_the_margin_of_its_goal_the_right_way(name: str) -> None:
    once, twice = _goal_line(name, VALUE), _goal_line(name, 2 * VALUE)
    assert (once.margin, once.met) == (0.0, True)
    assert twice.margin == pytest.approx(VALUE if _higher_is_better(name) else -VALUE)
    assert twice.met == _higher_is_better(name)


@pytest.mark.parametrize("name", GATED)
def test_doubling_a_measure_moves_the_verdict_of_the_gate_the_right_way(name: str) -> None:
    better = GATED[name].better == "higher"
    assert _verdict(name, VALUE).status == "ok"
    assert _verdict(name, 2 * VALUE).status == ("better" if better else "worse")
    assert _verdict(name, VALUE / 2).status == ("worse" if better else "better")


def test_goals_the_gate_and_searches_agree_on_directions() -> None:
    said = [
        {name: _higher_is_better(name) for name in GOALS},
        {name: gated.better == "higher" for name, gated in GATED.items()},
        dict(OBJECTIVES),
    ]
    for one, other in itertools.combinations(said, 2):
        shared = one.keys() & other.keys()
        assert len(shared) > 4
        assert {name: one[name] for name in shared} == {name: other[name] for name in shared}


@pytest.mark.parametrize("name", Budget.model_fields)
def test_a_budget_is_judged_by_the_worse_end_of_its_estimate(name: str) -> None:
    estimate = Estimate(name=name, low=0.5 * VALUE, high=1.5 * VALUE, measured=False, method="reckoned")
    (line,) = judged({name: VALUE}, _record(Measurements, {}), _record(Versus, {}), [estimate])
    assert (line.got, line.margin, line.met) == (1.5 * VALUE, -0.5 * VALUE, False)
    assert line.method == "reckoned"
