"""The report's table of what a task tells of each class, of the baseline and of the model that is deployed."""

from __future__ import annotations

import html
from collections.abc import Iterator

from edgepipe.records.metrics import Metrics
from edgepipe.report.page import table

_MOST = 200
"""Rows of the table: more are of the classes that changed least."""


def classes_section(metrics: Metrics) -> Iterator[str]:
    """A table for each title, the classes that lost most first; nothing where the task tells nothing of classes."""
    final, base = metrics.final, metrics.baseline
    if final is None:
        return
    for title, values in final.by_class.items():
        before = base.by_class.get(title, {}) if base is not None else {}
        names = sorted(dict.fromkeys((*before, *values)), key=lambda name: _change(values, before, name))
        yield f"<h2>{html.escape(title)} of each class</h2>"
        rows = [
            (name, _text(before.get(name)), _text(values.get(name)), f"{_change(values, before, name):+.4f}")
            for name in names[:_MOST]
        ]
        yield table(("class", "baseline", "now", "change"), rows)
        if len(names) > _MOST:
            yield f'<p class="soft">{len(names) - _MOST} more classes changed less.</p>'


def _change(values: dict[str, float], before: dict[str, float], name: str) -> float:
    """Of a class that one of the two does not tell: none."""
    return values[name] - before[name] if name in values and name in before else 0.0


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
