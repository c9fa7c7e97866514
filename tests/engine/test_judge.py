"""Goals are judged the right way round, and budgets by the worse end of an estimate."""

from __future__ import annotations

import pytest

from edgepipe.engine.judge import judged, status_of
from edgepipe.records.metrics import Estimate, GoalResult, Proof


def test_a_metric_that_nobody_gave_a_direction_is_no_goal() -> None:
    estimate = Estimate(name="charm", low=1, high=1, measured=True, method="")
    with pytest.raises(KeyError):
        judged({"charm": 1.0}, None, None, None, [estimate])


def test_a_budget_is_judged_by_the_worse_end_of_its_estimate() -> None:
    estimate = Estimate(name="latency_ms", low=5, high=15, measured=False, method="by its clock")
    (line,) = judged({"latency_ms": 10}, None, None, None, [estimate])
    assert (line.got, line.margin, line.met, line.method) == (15, -5, False, "by its clock")


def test_what_was_not_measured_is_not_met() -> None:
    (line,) = judged({"top1": 0.5}, None, None, None, [])
    assert (line.got, line.margin, line.met) == (None, None, False)


def test_a_wrong_answer_elsewhere_weighs_more_than_a_missed_goal() -> None:
    missed = GoalResult(name="top1", wanted=1, got=0, margin=-1, met=False)
    failed = Proof(target="arm64", place="", status="failed", examples=0)
    assert status_of([missed], [failed]) == "not_verified"
    assert status_of([missed], []) == "missed_goal"
    assert status_of([], []) == "ok"
