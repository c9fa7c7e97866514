"""Small SVG charts, drawn on the server side: no script, no font, no network."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Interval = tuple[float, float]


@dataclass(frozen=True)
class Bar:
    """One bar: its label, its value (None: not measured), the text beside it and a 95% interval."""

    label: str
    value: float | None
    text: str
    interval: Interval | None = None
    strong: bool = False


def bars(items: Sequence[Bar], *, title: str, low: float = 0.0, high: float | None = None) -> str:
    """Horizontal bars, one per step, on one scale from `low` to `high`."""
    ends = [item.value for item in items if item.value is not None]
    ends += [item.interval[1] for item in items if item.interval is not None]
    top = high if high is not None else max(ends, default=1.0)
    span = (top - low) or 1.0
    left, width, right, line = 120, 220, 80, 26  # narrow, so that a phone does not shrink the text
    rows = [f'<text x="0" y="16" class="title">{html.escape(title)}</text>']
    for index, item in enumerate(items):
        y = 30 + index * line
        rows.append(f'<text x="{left - 8}" y="{y + 14}" class="label">{html.escape(item.label)}</text>')
        if item.value is not None:
            length = max(1.0, width * min(1.0, max(0.0, (item.value - low) / span)))
            kind = "bar strong" if item.strong else "bar"
            rows.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="18" rx="2" class="{kind}"/>')
        if item.interval is not None:
            ends_x = [left + width * min(1.0, max(0.0, (end - low) / span)) for end in item.interval]
            rows.append(f'<path d="M{ends_x[0]:.1f} {y + 9}H{ends_x[1]:.1f}" class="whisker"/>')
            rows += [f'<path d="M{x:.1f} {y + 5}v8" class="whisker"/>' for x in ends_x]
        rows.append(f'<text x="{left + width + 8}" y="{y + 14}" class="value">{html.escape(item.text)}</text>')
    height = 36 + len(items) * line
    return (
        f'<svg viewBox="0 0 {left + width + right} {height}" role="img" aria-label="{html.escape(title)}">'
        + "".join(rows)
        + "</svg>"
    )


def _ticks(low: float, high: float, count: int = 5, whole: bool = False) -> list[float]:
    """Round numbers from low to high; `whole`: of things that are counted."""
    span = high - low
    if span <= 0:
        return [low]
    step = 10 ** math.floor(math.log10(span / count))
    step = next((step * k for k in (1, 2, 5, 10) if span / (step * k) <= count), step * 10)
    step = max(step, 1) if whole else step
    first = math.ceil(low / step) * step
    return [first + index * step for index in range(int((high - first) / step + 1e-9) + 1)]


def _range(values: Sequence[float], share: float = 0.06) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * share or abs(high) * share or 1.0
    return low - margin, high + margin


def _axes(
    x: Interval, y: Interval, box: tuple[int, int, int, int], x_title: str, y_title: str, counted: bool = False
) -> list[str]:
    left, top, width, height = box
    parts = [f'<rect x="{left}" y="{top}" width="{width}" height="{height}" class="frame"/>']
    for tick in _ticks(*x, whole=counted):
        place = left + width * (tick - x[0]) / (x[1] - x[0])
        parts.append(f'<path d="M{place:.1f} {top}v{height}" class="grid"/>')
        parts.append(f'<text x="{place:.1f}" y="{top + height + 16}" class="tick">{tick:.6g}</text>')
    for tick in _ticks(*y):
        place = top + height * (1 - (tick - y[0]) / (y[1] - y[0]))
        parts.append(f'<path d="M{left} {place:.1f}h{width}" class="grid"/>')
        parts.append(f'<text x="{left - 6}" y="{place + 4:.1f}" class="label">{tick:.6g}</text>')
    parts.append(f'<text x="{left + width / 2}" y="{top + height + 36}" class="tick">{html.escape(x_title)}</text>')
    parts.append(f'<text x="{left}" y="{top - 8}" class="value">{html.escape(y_title)}</text>')
    return parts


def lines(series: Mapping[str, Sequence[tuple[float, float]]], *, x_title: str, y_title: str) -> str:
    """Polylines over a common pair of axes; `series` maps a name to its (x, y) points."""
    points = [point for line in series.values() for point in line]
    if not points:
        return ""
    x, y = _range([p[0] for p in points], 0.02), _range([p[1] for p in points])
    box = (48, 26, 330, 170) if len(series) == 1 else (60, 26, 470, 180)
    parts = _axes(x, y, box, x_title, y_title, counted=all(float(p[0]).is_integer() for p in points))
    for index, (name, line) in enumerate(series.items()):
        path = " ".join(
            f"{box[0] + box[2] * (a - x[0]) / (x[1] - x[0]):.1f},"
            f"{box[1] + box[3] * (1 - (b - y[0]) / (y[1] - y[0])):.1f}"
            for a, b in line
        )
        parts.append(f'<polyline points="{path}" class="line line{index % 4}"/>')
        if len(series) > 1:  # one line is named by its axis
            parts.append(
                f'<text x="{box[0] + box[2] + 8}" y="{box[1] + 14 + 18 * index}" class="value line{index % 4}">'
                f"{html.escape(name)}</text>"
            )
    whole = 390 if len(series) == 1 else 650
    return f'<svg viewBox="0 0 {whole} 240" role="img" aria-label="{html.escape(y_title)}">' + "".join(parts) + "</svg>"


@dataclass(frozen=True)
class Dot:
    """One run in a scatter: where it lies, its name, where a click leads, whether nothing dominates it."""

    x: float
    y: float
    name: str
    link: str
    front: bool


def scatter(dots: Sequence[Dot], *, x_title: str, y_title: str) -> str:
    """A scatter with the Pareto front drawn as a line; each point is a link with a tooltip."""
    if not dots:
        return ""
    x, y = _range([dot.x for dot in dots]), _range([dot.y for dot in dots])
    box = (60, 26, 520, 240)

    def place(dot: Dot) -> tuple[float, float]:
        return (
            box[0] + box[2] * (dot.x - x[0]) / (x[1] - x[0]),
            box[1] + box[3] * (1 - (dot.y - y[0]) / (y[1] - y[0])),
        )

    parts = _axes(x, y, box, x_title, y_title)
    front = sorted((dot for dot in dots if dot.front), key=lambda dot: (dot.x, dot.y))
    if len(front) > 1:
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in map(place, front))
        parts.append(f'<polyline points="{path}" class="line line1"/>')
    free = _Labels(box[0], box[0] + box[2] + 64)
    for dot in sorted(dots, key=lambda dot: not dot.front):  # where room is short, the front's names stand
        a, b = place(dot)
        kind = "dot front" if dot.front else "dot"
        parts.append(
            f'<a href="{html.escape(dot.link, quote=True)}"><circle cx="{a:.1f}" cy="{b:.1f}" r="5" class="{kind}">'
            f"<title>{html.escape(dot.name)}</title></circle></a>"
        )
        # The last part of a key says enough here; the tooltip and the table have the whole name.
        parts.append(free.text(a, b, re.sub(r"(?<!\S)[+~]*[\w@.]*\.(?=\w+=)", "", dot.name)))
    return (
        f'<svg viewBox="0 0 650 310" class="scatter" role="img" aria-label="{html.escape(y_title)}">'
        + "".join(parts)
        + "</svg>"
    )


class _Labels:
    """Names beside points, none over another: one that finds no room is left to the tooltip."""

    def __init__(self, left: float, right: float) -> None:
        self.left, self.right = left, right
        self._taken: list[tuple[float, float, float, float]] = []

    def text(self, a: float, b: float, name: str) -> str:
        """An SVG text beside the point (a, b), or nothing."""
        width, height = 5.6 * len(name), 12  # of the page's font at 10 pixels, on the safe side
        for side, shift, rise in (("start", 9, 6), ("end", -9, 6), ("start", 9, -12), ("end", -9, -12)):
            begin = a + shift - (width if side == "end" else 0)
            place = (begin, b - rise - height, begin + width, b - rise)
            if place[0] < self.left or place[2] > self.right or any(_overlap(place, other) for other in self._taken):
                continue
            self._taken.append(place)
            return (
                f'<text x="{a + shift:.1f}" y="{b - rise:.1f}" class="name" style="text-anchor:{side}">'
                f"{html.escape(name)}</text>"
            )
        return ""


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
