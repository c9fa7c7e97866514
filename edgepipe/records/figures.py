"""Every number of a step that can be wanted, held against a baseline or aimed at, and which way it is better.

Costs are the same for every task. The rest are the measures that a record's task names, what each of them lost, and
the share answered alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from edgepipe.contract import Interval, Measure
from edgepipe.records.metrics import Measurements, Tolerance, Versus
from edgepipe.records.quality import TaskRecord

Better = Literal["higher", "lower"]

COSTS: Mapping[str, Better] = {
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
"""The one table of directions of costs, which goals, budgets, the gate and searches read."""

ALIKE = "alike"
"""The share of examples answered as the baseline answers."""
QUALITY_DROP = "quality_drop"
"""How much worse a task's first measure is than the baseline's; where that has no value, the next one's."""
OLD_NAMES: Mapping[str, str] = {"agreement": ALIKE}
"""What people's recipes and baselines still call by another name."""

TOLERATED: Mapping[str, Tolerance] = {
    "times_smaller": Tolerance(worse_by=0.02, relative=True),
    "size_bytes": Tolerance(worse_by=0.02, relative=True),
    "gzip_bytes": Tolerance(worse_by=0.05, relative=True),
    "macs": Tolerance(worse_by=0.0, relative=True),
    "int8_share.conv": Tolerance(worse_by=0.0),
    "int8_share.matmul": Tolerance(worse_by=0.0),
    "times_faster": Tolerance(worse_by=0.25, relative=True),
}
"""Costs that the gate judges, and how far it lets them be worse when nobody says."""
_ALIKE_TOLERATED = Tolerance(worse_by=0.02)


class Number(NamedTuple):
    """One number of a step: `tolerance` as the gate has it when nobody says, None: the gate does not judge it."""

    value: float
    better: Better
    interval: Interval | None = None
    tolerance: Tolerance | None = None

    def room(self, wanted: float) -> float:
        """How far a goal is met, in the number's own unit; negative: it is missed."""
        return gain(self.value, wanted, self.better)


def gain(value: float, other: float, better: Better) -> float:
    """By how much a value is better than another; negative: worse."""
    return value - other if better == "higher" else other - value


def tolerances(task: TaskRecord | None) -> dict[str, Tolerance]:
    """What the gate judges of a run of this task, and how far it lets that be worse when nobody says.

    Of the headline measure its change too: its interval is paired, so it is the sharper one.
    """
    found = {}
    for number, measure in enumerate(task.measures if task else ()):
        found[measure.name] = Tolerance(worse_by=measure.worse_by, relative=measure.relative)
        if number == 0 and not measure.relative:
            found[measure.change_name] = Tolerance(worse_by=measure.worse_by)
    return {**found, **({ALIKE: _ALIKE_TOLERATED} if task else {}), **TOLERATED}


def directions(task: TaskRecord | None) -> dict[str, Better]:
    """Which way every number of a run of this task is better."""
    found: dict[str, Better] = {**COSTS, ALIKE: "higher", QUALITY_DROP: "lower"}
    for measure in task.measures if task else ():
        found |= {measure.name: measure.better, measure.change_name: "lower"}
    return found


def numbers(task: TaskRecord | None, measured: Measurements | None, versus: Versus | None) -> dict[str, Number]:
    """The numbers of a step that are known, by name."""
    tolerated, better = tolerances(task), directions(task)
    known = {**dict(_answers(task, measured, versus)), **dict(_costs(measured, versus))}
    return {
        name: Number(value, better[name], interval, tolerated.get(name))
        for name, (value, interval) in known.items()
        if name in better
    }


def _costs(measured: Measurements | None, versus: Versus | None) -> Iterator[tuple[str, tuple[float, None]]]:
    for part in (measured, versus):
        for name in type(part).model_fields if part is not None else ():
            value = getattr(part, name)
            if name in COSTS and isinstance(value, (int, float)):
                yield name, (float(value), None)
    for name, share in measured.int8_share.model_dump().items() if measured is not None else ():
        if share is not None:
            yield f"int8_share.{name}", (share, None)


def _answers(
    task: TaskRecord | None, measured: Measurements | None, versus: Versus | None
) -> Iterator[tuple[str, tuple[float, Interval | None]]]:
    first = True
    for measure in task.measures if task else ():
        score = measured.quality.get(measure.name) if measured else None
        if score is not None and score.value is not None:
            yield measure.name, (score.value, score.ci95)
        drop = versus.quality.get(measure.name) if versus else None
        if drop is not None and drop.drop is not None:
            yield measure.change_name, (drop.drop, drop.ci95)
            if first:
                yield QUALITY_DROP, (drop.drop, drop.ci95)
            first = False
    if versus is not None and versus.alike is not None:
        yield ALIKE, (versus.alike, None)


def measure_of(task: TaskRecord | None, name: str) -> tuple[Measure | None, bool]:
    """The measure that a number belongs to, and whether the number is its change; (None, False) of a cost."""
    for measure in task.measures if task else ():
        if name in (measure.name, measure.change_name):
            return measure, name != measure.name
    if name == QUALITY_DROP and task and task.measures:
        return task.measures[0], True
    return None, False
