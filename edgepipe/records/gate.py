"""Which way every number of a run is better, and the regression gate: its metrics against a baseline file's.

`BETTER` is the one table of directions, which goals, the gate and searches read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edgepipe.base.files import read_record
from edgepipe.base.suggest import did_you_mean
from edgepipe.errors import InputError
from edgepipe.records.metrics import Measurements, Metrics, Tolerance, Versus

Better = Literal["higher", "lower"]

BETTER: dict[str, Better] = {
    "top1": "higher",
    "accuracy_drop": "lower",
    "agreement": "higher",
    "mae": "lower",
    "mae_rise": "lower",
    "r2": "higher",
    "cosine": "higher",
    "times_smaller": "higher",
    "times_faster": "higher",
    "size_bytes": "lower",
    "gzip_bytes": "lower",
    "macs": "lower",
    "int8_share.conv": "higher",
    "int8_share.matmul": "higher",
    "latency_p50_ms": "lower",
    "peak_rss_bytes": "lower",
    "storage_mb": "lower",
    "memory_mb": "lower",
    "latency_ms": "lower",
    "energy_mj": "lower",
}


def room(name: str, got: float, wanted: float) -> float:
    """How far a goal is met, in the metric's own unit; negative: it is missed.

    Raises:
        KeyError: nobody has said which way `name` is better.
    """
    return got - wanted if BETTER[name] == "higher" else wanted - got


@dataclass(frozen=True)
class Gated:
    """A metric that the regression gate can judge, and its tolerance when nobody states one."""

    better: Better
    default: Tolerance


# Accuracy: what training again on another machine may move.
_TOLERATED: dict[str, Tolerance] = {
    "top1": Tolerance(worse_by=0.01),
    "accuracy_drop": Tolerance(worse_by=0.01),
    "agreement": Tolerance(worse_by=0.02),
    "mae": Tolerance(worse_by=0.02, relative=True),
    "r2": Tolerance(worse_by=0.01),
    "cosine": Tolerance(worse_by=0.005),
    "times_smaller": Tolerance(worse_by=0.02, relative=True),
    "size_bytes": Tolerance(worse_by=0.02, relative=True),
    "gzip_bytes": Tolerance(worse_by=0.05, relative=True),
    "macs": Tolerance(worse_by=0.0, relative=True),
    "int8_share.conv": Tolerance(worse_by=0.0),
    "int8_share.matmul": Tolerance(worse_by=0.0),
    "times_faster": Tolerance(worse_by=0.25, relative=True),
}
GATED: dict[str, Gated] = {name: Gated(BETTER[name], tolerance) for name, tolerance in _TOLERATED.items()}


def gated_values(measurements: Measurements | None, versus: Versus | None) -> dict[str, float]:
    """The metrics of a step that the gate can judge, by name."""
    found: dict[str, float] = {}
    for part in (measurements, versus, measurements.int8_share if measurements else None):
        for name in type(part).model_fields if part is not None else ():
            value = getattr(part, name)
            full = f"int8_share.{name}" if name in ("conv", "matmul") else name
            if full in GATED and isinstance(value, (int, float)):
                found[full] = float(value)
    return found


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expected(Tolerance):
    """One metric's accepted value and how far a run may be worse."""

    value: float = Field(allow_inf_nan=False)
    better: Literal["higher", "lower"]


class Baseline(_Record):
    """A baseline file. Made by `edgepipe accept`, kept in the repository, edited by people."""

    schema_version: Literal[1] = 1
    recipe: str
    instruction_sets: list[str] = Field(description="speed is judged only on a machine with the same")
    metrics: dict[str, Expected] = Field(min_length=1)
    steps: dict[str, dict[str, float]] = Field(
        default={}, description="the metrics after every step: they tell where a regression began"
    )


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


def values(metrics: Metrics) -> dict[str, float]:
    """The checkable metrics of a finished run, by name."""
    return gated_values(metrics.final, metrics.versus_baseline)


def _steps(metrics: Metrics) -> dict[str, dict[str, float]]:
    """The same after every step that is compared with the baseline."""
    return {
        step.label: gated_values(step.measurements, step.versus_baseline)
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
    for name, value in values(metrics).items():
        if previous is not None and name not in previous.metrics:
            continue  # a metric that was taken out of the file stays out
        if not math.isfinite(value):
            raise InputError(f"{where}: {name} is {value}, and nothing can be held against that. Run it again")
        tolerance: Tolerance = previous.metrics[name] if previous is not None else GATED[name].default
        tolerance = metrics.tolerances.get(name, tolerance)
        expected[name] = Expected(
            value=value, better=GATED[name].better, worse_by=tolerance.worse_by, relative=tolerance.relative
        )
    return Baseline(recipe=metrics.recipe, instruction_sets=int8_sets(metrics), metrics=expected, steps=_steps(metrics))


def compare(metrics: Metrics, baseline: Baseline) -> list[Verdict]:
    """A verdict for each metric of the baseline."""
    return list(_verdicts(metrics, baseline))


def _verdicts(metrics: Metrics, baseline: Baseline) -> Iterator[Verdict]:
    got = values(metrics)
    here = int8_sets(metrics)
    for name, expected in baseline.metrics.items():
        tolerance = metrics.tolerances.get(name, expected)
        slack = _slack(tolerance, expected.value)
        limit = expected.value - slack if expected.better == "higher" else expected.value + slack
        value = got.get(name)
        status: Literal["ok", "better", "worse", "missing", "not_judged"] = "ok"
        why = ""
        step = None
        if value is None or not math.isfinite(value):
            status, why = "missing", "the run did not measure it" if value is None else "no finite number"
        elif name in _SPEED and here != baseline.instruction_sets:
            status = "not_judged"
            sets = [", ".join(names) or "none" for names in (here, baseline.instruction_sets)]
            why = f"other processor: int8 by {sets[0]} here, by {sets[1]} in the baseline"
        elif _worse(value, expected.value, expected.better, tolerance):
            if _within_chance(metrics, name, limit):
                why = "beyond the limit, but no more than chance explains"
            else:
                status = "worse"
                step = _began(metrics, baseline, name, expected.better, tolerance)
        elif _gain(value, expected.value, expected.better) > max(slack, 1e-12):
            status = "better"
        yield Verdict(name=name, expected=expected.value, limit=limit, got=value, status=status, why=why, step=step)


def _within_chance(metrics: Metrics, name: str, limit: float) -> bool:
    """Whether an accuracy's 95% interval reaches back over the limit; the drop's is paired, so it is the sharper."""
    if name == "accuracy_drop" and metrics.versus_baseline is not None:
        interval = metrics.versus_baseline.accuracy_drop_ci95
        return interval is not None and interval[0] <= limit
    if name == "top1" and metrics.final is not None:
        interval = metrics.final.top1_ci95
        return interval is not None and interval[1] >= limit
    if name == "cosine" and metrics.final is not None:
        return metrics.final.cosine_ci95 is not None and metrics.final.cosine_ci95[1] >= limit
    if name == "mae" and metrics.final is not None:
        return metrics.final.mae_ci95 is not None and metrics.final.mae_ci95[0] <= limit
    return False


def _slack(tolerance: Tolerance, value: float) -> float:
    return tolerance.worse_by * abs(value) if tolerance.relative else tolerance.worse_by


def _gain(value: float, expected: float, better: str) -> float:
    return value - expected if better == "higher" else expected - value


def _worse(value: float, expected: float, better: str, tolerance: Tolerance) -> bool:
    return _gain(value, expected, better) < -_slack(tolerance, expected) - 1e-9 * max(1.0, abs(expected))


def _began(metrics: Metrics, baseline: Baseline, name: str, better: str, tolerance: Tolerance) -> str | None:
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
    baseline = read_record(path, Baseline, f"Make it: edgepipe accept RUN --baseline {path}")
    for name, expected in baseline.metrics.items():
        if name not in GATED:
            raise InputError(f"{path}: metrics.{name}: no metric that can be checked.{did_you_mean(name, GATED)}")
        if expected.better != GATED[name].better:
            raise InputError(
                f"{path}: metrics.{name}.better: '{expected.better}', but of {name} the {GATED[name].better} value is "
                "the better one. Put that in"
            )
    return baseline
