"""Is it good enough? Goals and budgets against what was measured or estimated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from edgepipe.records.figures import COSTS, Number, numbers
from edgepipe.records.metrics import Estimate, GoalResult, Measurements, Proof, Versus
from edgepipe.records.quality import TaskRecord

Status = Literal["ok", "failed", "missed_goal", "not_verified"]


def judged(
    goals: Mapping[str, float],
    task: TaskRecord | None,
    measurements: Measurements | None,
    versus: Versus | None,
    estimated: Sequence[Estimate],
) -> list[GoalResult]:
    """A line for each goal, name to what is wanted, from what was measured or estimated of the final artifact.

    A budget is judged by the worse end of its estimate.
    """
    results = []
    known = numbers(task, measurements, versus)
    by_name = {item.name: item for item in estimated}
    for name, wanted in goals.items():
        number, method = known.get(name), ""
        if name in by_name:
            number = Number(by_name[name].high, COSTS[name])
            method = "" if by_name[name].measured else by_name[name].method
        got = None if number is None else number.value
        margin = None if number is None else number.room(wanted)
        met = margin is not None and margin >= 0
        results.append(GoalResult(name=name, wanted=wanted, got=got, margin=margin, met=met, method=method))
    return results


def status_of(goal: Sequence[GoalResult], proofs: Sequence[Proof]) -> Status:
    """Of a run whose steps all went well; a wrong answer weighs more than a missed goal."""
    if any(proof.status == "failed" for proof in proofs):
        return "not_verified"
    return "ok" if all(result.met for result in goal) else "missed_goal"
