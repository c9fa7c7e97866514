"""What is better: objectives, how far a goal is missed, and the best of several points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress

from edgepipe.records.figures import ALIKE, COSTS, directions
from edgepipe.records.metrics import Metrics
from edgepipe.records.quality import TaskRecord

QUALITY = "quality"
"""The headline measure of any task, as an objective: higher is better, whichever way the measure goes."""

COSTLY = ("times_smaller", "times_faster", "size_bytes", "latency_p50_ms", "macs", "peak_rss_bytes")
"""Costs that a search can aim at."""


def objectives_of(tasks: Iterable[TaskRecord]) -> dict[str, bool]:
    """What a search can aim at where the task is one of these, and whether higher is better."""
    found = {QUALITY: True}
    for task in tasks:
        better = directions(task)
        found |= {name: better[name] == "higher" for name in (*(each.name for each in task.measures), ALIKE)}
    return {**found, **{name: COSTS[name] == "higher" for name in COSTLY}}


def of_quality(goal: str) -> bool:
    """Whether a line of the goal is one that a cheap trial, trained shortly, is expected to miss."""
    return goal not in COSTS and goal != _VERIFY


_VERIFY = "verify"

Point = tuple[Sequence[float], Mapping[str, float]]
"""Values of the objectives, and by what share each line of the goal is missed."""


def misses(metrics: Metrics) -> dict[str, float]:
    """For each line of the goal and for `verify` the share by which it is missed; negative: met with room to spare."""
    shares = {
        line.name: 1.0 if line.margin is None else -line.margin / max(abs(line.wanted), 1e-2) for line in metrics.goal
    }
    return {**shares, _VERIFY: 1.0 if metrics.status == "not_verified" else -1.0}


def on_front(points: Sequence[Sequence[float]], higher: Sequence[bool]) -> list[bool]:
    """Which points no other one beats: at least as good in everything and better in something; equal ones stay.

    Args:
        points: of one length each.
        higher: for each place of a point, whether higher is better.
    """
    signs = [1 if better else -1 for better in higher]

    def beats(one: Sequence[float], other: Sequence[float]) -> bool:
        gains = [sign * (a - b) for sign, a, b in zip(signs, one, other, strict=True)]
        return min(gains) >= 0 and max(gains) > 0

    return [not any(beats(other, point) for other in points) for point in points]


def choose(points: Sequence[Point], objectives: Mapping[str, bool]) -> tuple[int, bool]:
    """(index of the best, whether it meets the goal).

    Of those that meet the goal the one of `_balanced`; if none meets it, the one that misses by least in sum.
    """
    sums = [_missed(missed, missed) for _, missed in points]
    able = [index for index, missed in enumerate(sums) if missed == 0]
    if not able:
        return sums.index(min(sums)), False
    return _balanced(points, able, objectives), True


def promising(points: Sequence[Point], objectives: Mapping[str, bool]) -> int:
    """Index of the cheaply tried point to run in full.

    First it meets what a full run does not change (bytes, speed, memory), or misses it by least; then its quality is
    nearest to the goal.
    """
    sums = []
    for _, missed in points:
        lasting = [name for name in missed if not of_quality(name)]
        sums.append((_missed(missed, lasting), _missed(missed, filter(of_quality, missed))))
    return _balanced(points, [index for index, one in enumerate(sums) if one == min(sums)], objectives)


def _missed(missed: Mapping[str, float], names: Iterable[str]) -> float:
    return sum(max(0.0, missed.get(name, 0.0)) for name in names)


def _balanced(points: Sequence[Point], able: list[int], objectives: Mapping[str, bool]) -> int:
    """Of those that no other beats in everything, the one whose ranks in the objectives add up to least.

    The first objective decides a tie.
    """
    higher = list(objectives.values())
    front = list(compress(able, on_front([points[index][0] for index in able], higher)))
    signs = [1 if better else -1 for better in higher]

    def rank(index: int) -> tuple[int, float]:
        mine = points[index][0]
        places = sum(
            sum(sign * points[other][0][k] > sign * mine[k] for other in front) for k, sign in enumerate(signs)
        )
        return places, -signs[0] * mine[0]

    return min(front, key=rank)
