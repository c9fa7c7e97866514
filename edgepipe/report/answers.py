"""How well a model answers, as cells and sentences: by the measures that a record names, whichever they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edgepipe.contract import Interval, Measure
from edgepipe.records.figures import ALIKE, measure_of
from edgepipe.records.metrics import Measurements, Metrics, Versus
from edgepipe.records.quality import Drop, Score, TaskRecord


def shown(task: TaskRecord | None, measured: Iterable[Measurements | None]) -> list[Measure]:
    """The measures of which something is known in any of these, the headline first."""
    known = {
        name
        for item in measured
        for name, score in (item.quality.items() if item is not None else ())
        if score.value is not None
    }
    return [measure for measure in (task.measures if task else ()) if measure.name in known]


def measures_of(metrics: Metrics) -> list[Measure]:
    """Those of a run's steps."""
    return shown(metrics.task, [step.measurements for step in metrics.passes])


def answer_columns(measures: Sequence[Measure]) -> tuple[str, ...]:
    """Heads: the headline, its change against the baseline, the other measures, and the share answered alike."""
    if not measures:
        return ()
    first, *others = _with_columns(measures)
    return (first.title, f"{change_word(first)} (95%)", *(each.title for each in others), ALIKE)


def answer_cells(measures: Sequence[Measure], measured: Measurements | None, versus: Versus | None) -> tuple[str, ...]:
    """The cells of one step, in the order of `answer_columns`."""
    if not measures:
        return ()
    scores, drops = measured.quality if measured else {}, versus.quality if versus else {}
    first, *others = _with_columns(measures)
    alike = versus.alike if versus else None
    return (
        score_text(first, scores.get(first.name)),
        drop_text(first, drops.get(first.name)),
        *(score_text(each, scores.get(each.name)) for each in others),
        "-" if alike is None else f"{100 * alike:.2f}%",
    )


def _with_columns(measures: Sequence[Measure]) -> list[Measure]:
    return [measure for measure in measures if measure.column or measure is measures[0]]


def change_word(measure: Measure) -> str:
    """What getting worse looks like."""
    return "drop" if measure.better == "higher" else "rise"


def change_title(measure: Measure) -> str:
    """Name of a measure's change, for people."""
    return measure.change_title or f"{measure.title} {change_word(measure)}"


def score_text(measure: Measure, score: Score | None) -> str:
    """A value for people; `-` where it is not known."""
    return "-" if score is None or score.value is None else measure.text(score.value)


def drop_text(measure: Measure, drop: Drop | None) -> str:
    """A change and its interval, of shares in percentage points; short, for a table."""
    if drop is None or drop.drop is None:
        return "-"
    text = _signed(measure, drop.drop)
    return text if drop.ci95 is None else f"{text} {interval_text(measure, drop.ci95)}"


def interval_text(measure: Measure, interval: Interval) -> str:
    """The interval of a change."""
    return f"[{_signed(measure, interval[0])}, {_signed(measure, interval[1])}]"


def _signed(measure: Measure, value: float) -> str:
    return f"{100 * value:+.2f}" if measure.unit == "share" else measure.change_text(value)


def number_text(task: TaskRecord | None, name: str, value: float) -> str | None:
    """A number of a task by the name that goals and baselines have for it; None: it is of no task."""
    if name == ALIKE:
        return f"{100 * value:.2f}%"
    measure, change = measure_of(task, name)
    if measure is None:
        return None
    return measure.change_text(value) if change else measure.text(value)


def number_title(task: TaskRecord | None, name: str) -> str | None:
    """Its name for people; None: it is of no task."""
    if name == ALIKE:
        return "answered alike"
    measure, change = measure_of(task, name)
    if measure is None:
        return None
    return change_title(measure) if change else measure.title


def values_text(measures: Sequence[Measure], values: Mapping[str, float]) -> str:
    """The headline among plain values by measure; `-` where there is none."""
    for measure in measures:
        if measure.name in values:
            return measure.text(values[measure.name])
    return "-"
