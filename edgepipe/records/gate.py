"""The regression gate: a run's numbers against those of a baseline file, with a tolerance for each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgepipe.base.files import read_record
from edgepipe.base.suggest import did_you_mean
from edgepipe.errors import InputError
from edgepipe.records.figures import OLD_NAMES, Better, Number, directions, gain, numbers, tolerances
from edgepipe.records.metrics import Metrics, Tolerance


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expected(Tolerance):
    """One metric's accepted value and how far a run may be worse."""

    value: float = Field(allow_inf_nan=False)
    better: Better


class Baseline(_Record):
    """A baseline file. Made by `edgepipe accept`, kept in the repository, edited by people."""

    schema_version: Literal[2] = 2
    recipe: str
    instruction_sets: list[str] = Field(description="speed is judged only on a machine with the same")
    metrics: dict[str, Expected] = Field(min_length=1)
    steps: dict[str, dict[str, float]] = Field(
        default={}, description="the metrics after every step: they tell where a regression began"
    )

    @model_validator(mode="before")
    @classmethod
    def _of_schema_1(cls, content: Any) -> Any:
        """The same under names that have changed since."""
        if not isinstance(content, Mapping) or content.get("schema_version", 1) != 1:
            return content
        metrics, steps = content.get("metrics"), content.get("steps", {})
        if isinstance(steps, Mapping):
            steps = {label: _renamed(step) for label, step in steps.items()}
        return {**content, "schema_version": 2, "metrics": _renamed(metrics), "steps": steps}


def _renamed(content: Any) -> Any:
    if not isinstance(content, Mapping):
        return content
    return {OLD_NAMES.get(name, name): value for name, value in content.items()}


class Verdict(_Record):
    """One metric of a check. `step`: the first step that is worse than it was, when the metric is."""

    name: str
    expected: float
    limit: float
    got: float | None
    status: Literal["ok", "better", "worse", "missing", "not_judged"]
    why: str = ""
    step: str | None = None


_SPEED = {"times_faster"}
_INT8_SETS = ("AVX2", "AVX512", "VNNI", "AMX", "NEON", "DOT", "I8MM")


def _steps(metrics: Metrics) -> dict[str, dict[str, float]]:
    """What the gate judges, after every step that is compared with the baseline."""
    return {
        step.label: {
            name: number.value
            for name, number in numbers(metrics.task, step.measurements, step.versus_baseline).items()
            if number.tolerance is not None
        }
        for step in metrics.passes
        if step.measurements is not None and step.versus_baseline is not None
    }


def int8_sets(metrics: Metrics) -> list[str]:
    """The instruction sets that decide how fast int8 is."""
    return sorted(
        name
        for name in metrics.environment.instruction_sets
        if any(part in name.upper().replace("_", "") for part in _INT8_SETS)
    )


def accept(metrics: Metrics, previous: Baseline | None = None, where: str = "metrics.json") -> Baseline:
    """A baseline from a run. Tolerances: the recipe's, else those that people set in `previous`, else the defaults."""
    expected: dict[str, Expected] = {}
    for name, number in numbers(metrics.task, metrics.final, metrics.versus_baseline).items():
        if number.tolerance is None or (previous is not None and name not in previous.metrics):
            continue  # a metric that was taken out of the file stays out
        if not math.isfinite(number.value):
            raise InputError(f"{where}: {name} is {number.value}, and nothing can be held against that. Run it again")
        tolerance: Tolerance = previous.metrics[name] if previous is not None else number.tolerance
        tolerance = _tolerated(metrics).get(name, tolerance)
        expected[name] = Expected(
            value=number.value, better=number.better, worse_by=tolerance.worse_by, relative=tolerance.relative
        )
    return Baseline(recipe=metrics.recipe, instruction_sets=int8_sets(metrics), metrics=expected, steps=_steps(metrics))


def _tolerated(metrics: Metrics) -> dict[str, Tolerance]:
    """The recipe's own tolerances."""
    return {OLD_NAMES.get(name, name): tolerance for name, tolerance in metrics.tolerances.items()}


def fitting(metrics: Metrics, baseline: Baseline, where: str) -> None:
    """Refuse a baseline that says of a metric what it is not, or that names one that nobody knows.

    A metric of another task is none of these: the run lacks it, and `compare` says so.

    Args:
        where: names the baseline's file.
    Raises:
        InputError: names the metric and the remedy.
    """
    known = directions(metrics.task)
    for name, expected in baseline.metrics.items():
        near = did_you_mean(name, tolerances(metrics.task))
        if name not in known and "Did you mean" in near:
            raise InputError(f"{where}: metrics.{name}: no metric that can be checked.{near}")
        if expected.better != known.get(name, expected.better):
            raise InputError(
                f"{where}: metrics.{name}.better: '{expected.better}', but of {name} the {known[name]} value is "
                "the better one. Put that in"
            )


def compare(metrics: Metrics, baseline: Baseline) -> list[Verdict]:
    """A verdict for each metric of the baseline."""
    return list(_verdicts(metrics, baseline))


def _verdicts(metrics: Metrics, baseline: Baseline) -> Iterator[Verdict]:
    got = numbers(metrics.task, metrics.final, metrics.versus_baseline)
    here = int8_sets(metrics)
    for name, expected in baseline.metrics.items():
        tolerance = _tolerated(metrics).get(name, expected)
        slack = _slack(tolerance, expected.value)
        limit = expected.value - slack if expected.better == "higher" else expected.value + slack
        number = got.get(name)
        status: Literal["ok", "better", "worse", "missing", "not_judged"] = "ok"
        why = ""
        step = None
        if number is None or not math.isfinite(number.value):
            status, why = "missing", "the run did not measure it" if number is None else "no finite number"
        elif name in _SPEED and here != baseline.instruction_sets:
            status = "not_judged"
            sets = [", ".join(names) or "none" for names in (here, baseline.instruction_sets)]
            why = f"other processor: int8 by {sets[0]} here, by {sets[1]} in the baseline"
        elif _worse(number.value, expected.value, expected.better, tolerance):
            if _within_chance(number, limit):
                why = "beyond the limit, but no more than chance explains"
            else:
                status = "worse"
                step = _began(metrics, baseline, name, expected.better, tolerance)
        elif gain(number.value, expected.value, expected.better) > max(slack, 1e-12):
            status = "better"
        value = None if number is None else number.value
        yield Verdict(name=name, expected=expected.value, limit=limit, got=value, status=status, why=why, step=step)


def _within_chance(number: Number, limit: float) -> bool:
    """Whether the 95% interval reaches back over the limit."""
    if number.interval is None:
        return False
    low, high = number.interval
    return high >= limit if number.better == "higher" else low <= limit


def _slack(tolerance: Tolerance, value: float) -> float:
    return tolerance.worse_by * abs(value) if tolerance.relative else tolerance.worse_by


def _worse(value: float, expected: float, better: Better, tolerance: Tolerance) -> bool:
    return gain(value, expected, better) < -_slack(tolerance, expected) - 1e-9 * max(1.0, abs(expected))


def _began(metrics: Metrics, baseline: Baseline, name: str, better: Better, tolerance: Tolerance) -> str | None:
    """The first step whose value is worse than the same step's was, beyond the tolerance."""
    for label, found in _steps(metrics).items():
        old = baseline.steps.get(label, {}).get(name)
        if old is not None and name in found and _worse(found[name], old, better, tolerance):
            return label
    return None


def incomparable(metrics: Metrics) -> list[str]:
    """Why a run's metrics are worth no comparison, a sentence each; empty: they can be compared."""
    if metrics.status == "failed":
        failure = metrics.failure
        step = f"step {failure.step}: " if failure and failure.step else ""
        why = step + failure.message if failure else "no reason recorded"
        return [_one_line(f"the run failed, so nothing can be compared: {why}")]
    failed = [proof for proof in metrics.proofs if proof.status == "failed"]
    return [_one_line(f"not verified: {proof.where}: {proof.why}") for proof in failed]


def _one_line(text: str) -> str:
    """Without what XML does not allow, and without line breaks: GitHub obeys a line that begins with `::`."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def read_baseline(path: Path) -> Baseline:
    """A baseline file.

    Raises:
        InputError: there is none, or it is not one.
    """
    return read_record(path, Baseline, f"Make it: edgepipe accept RUN --baseline {path}")
