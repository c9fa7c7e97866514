"""Is it good enough? Goals and budgets against what was measured or estimated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from edgepipe.records.gate import room
from edgepipe.records.metrics import Estimate, GoalResult, Measurements, Proof, Versus

Status = Literal["ok", "failed", "missed_goal", "not_verified"]


def judged(
    goals: Mapping[str, float],
    measurements: Measurements | None,
    versus: Versus | None,
    estimated: Sequence[Estimate],
) -> list[GoalResult]:
    """A line for each goal, name to what is wanted, from what was measured or estimated of the final artifact.

    A budget is judged by the worse end of its estimate.
    """
    results = []
    by_name = {item.name: item for item in estimated}
    for name, wanted in goals.items():
        got = getattr(versus, name, None)
        if got is None:
            got = getattr(measurements, name, None)
        method = ""
        if name in by_name:
            got = by_name[name].high
            method = "" if by_name[name].measured else by_name[name].method
        margin = None if got is None else room(name, got, wanted)
        met = margin is not None and margin >= 0
        results.append(GoalResult(name=name, wanted=wanted, got=got, margin=margin, met=met, method=method))
    return results


def status_of(goal: Sequence[GoalResult], proofs: Sequence[Proof]) -> Status:
    """Of a run whose steps all went well; a wrong answer weighs more than a missed goal."""
    if any(proof.status == "failed" for proof in proofs):
        return "not_verified"
    return "ok" if all(result.met for result in goal) else "missed_goal"
