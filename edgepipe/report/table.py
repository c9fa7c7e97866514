"""The closing table of a run: for a terminal, and as Markdown for a pull request."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from edgepipe.contract import Interval, Measure
from edgepipe.records.figures import measure_of
from edgepipe.records.metrics import Estimate, GoalResult, Metrics, Proof, StepRecord
from edgepipe.records.quality import TaskRecord
from edgepipe.report.answers import (
    answer_cells,
    answer_columns,
    change_title,
    measures_of,
    number_text,
    number_title,
    score_text,
)
from edgepipe.report.proofs import proof_columns, proof_notes, proof_rows

_COST = ("MB", "smaller", "ms", "faster (95%)")
_FIGURES = "three significant figures"
_GOALS = {
    "times_smaller": ("smaller", "{:.2f}x"),
    "times_faster": ("faster", "{:.2f}x"),
    "size_bytes": ("bytes", "{:,.0f}"),
    "latency_p50_ms": ("latency p50, ms", "{:.2f}"),
    "peak_rss_bytes": ("peak memory, bytes", "{:,.0f}"),
    "storage_mb": ("storage, MB", "{:.2f}"),
    "memory_mb": ("memory, MB", "{:.0f}"),
    "latency_ms": ("latency on the target, ms", _FIGURES),
    "energy_mj": ("energy on the target, mJ", _FIGURES),
    "gzip_bytes": ("bytes gzipped", "{:,.0f}"),
}


def percent(value: float | None, digits: int = 2) -> str:
    """A share in [0, 1] as text, `-` where it is not known."""
    return "-" if value is None else f"{100 * value:.{digits}f}%"


def times(value: float, interval: Interval | None = None) -> str:
    """A ratio with its 95% interval."""
    text = f"{value:.2f}x"
    return text if interval is None else f"{text} [{interval[0]:.2f}, {interval[1]:.2f}]"


def megabytes(size_bytes: int) -> str:
    """With more digits where two would say nothing."""
    return f"{size_bytes / 1e6:.{2 if size_bytes >= 1e5 else 4}f}"


def milliseconds(value: float) -> str:
    """With more digits where two would say nothing."""
    return f"{value:.{2 if value >= 0.1 else 4}f}"


def columns(metrics: Metrics) -> tuple[str, ...]:
    """The heads of the table: how a model answers is said in the measures of its task."""
    measured = [step.measurements for step in metrics.passes if step.measurements is not None]
    products = any(item.int8_share.matmul is not None for item in measured)
    int8 = "int8 matmul" if products and all(item.int8_share.conv is None for item in measured) else "int8 conv"
    return ("step", *answer_columns(measures_of(metrics)), *_COST, int8, "seconds")


def rows(metrics: Metrics) -> list[tuple[str, ...]]:
    """The cells of every step, in the order of `columns`."""
    measures = measures_of(metrics)
    return [_row(step, measures) for step in metrics.passes]


def _row(step: StepRecord, measures: Sequence[Measure]) -> tuple[str, ...]:
    measured, versus = step.measurements, step.versus_baseline
    label = f"{step.label} (inserted)" if step.inserted else step.label
    if measured is None:
        return (label, step.status.replace("_", " "), *[""] * (len(answer_columns(measures)) + len(_COST) + 1))
    share = measured.int8_share.matmul if measured.int8_share.conv is None else measured.int8_share.conv
    return (
        label,
        *answer_cells(measures, measured, versus),
        megabytes(measured.size_bytes),
        times(versus.times_smaller) if versus else "-",
        milliseconds(measured.latency_p50_ms),
        times(versus.times_faster, versus.times_faster_ci95) if versus else "-",
        percent(share, 0),
        "cached" if step.cached else f"{step.seconds:.1f}",
    )


def _in(form: str, value: float) -> str:
    return f"{float(f'{value:.3g}'):g}" if form == _FIGURES else form.format(value)


def goal_line(result: GoalResult, task: TaskRecord | None = None) -> str:
    """One line of the goal: what was wanted, what came, and the margin.

    Args:
        task: None: a measure is called by its name.
    """
    title, form = _GOALS.get(result.name, (number_title(task, result.name) or result.name, None))
    _, change = measure_of(task, result.name)

    def said(value: float, size: bool = False) -> str:
        if form is not None:
            return _in(form, value)
        text = number_text(task, result.name, value) or f"{value:.4g}"
        return text.lstrip("+") if change and size else text

    wanted = said(result.wanted, size=True)
    if result.got is None or result.margin is None:
        return f"{title}: wanted {wanted}, not measured"
    word = "met" if result.met else "MISSED"
    side = "to spare" if result.met else "short"
    estimate = f" (estimate: {result.method})" if result.method else ""
    return f"{title}: {said(result.got)}, goal {wanted}: {word}, {said(abs(result.margin), size=True)} {side}{estimate}"


def estimate_line(item: Estimate) -> str:
    """One quantity on the target, and whether it was measured or reckoned."""
    name, form = _GOALS[item.name]
    value = _in(form, item.high)
    if item.low != item.high:
        value = f"{_in(form, item.low)} to {value}"
    return f"{name}: {value}, {'measured' if item.measured else 'estimate'}: {item.method}"


def headline(metrics: Metrics) -> str:
    """The whole run in one line."""
    versus = metrics.versus_baseline
    if metrics.status == "failed" or versus is None:
        return f"{metrics.recipe}: {metrics.status.replace('_', ' ')}"
    parts = [times(versus.times_smaller) + " smaller", times(versus.times_faster) + " faster"]
    for measure in measures_of(metrics)[:1]:
        drop = versus.quality.get(measure.name)
        if drop is not None and drop.drop is not None:
            parts.append(f"{change_title(measure)} {measure.change_text(drop.drop)}")
        elif metrics.final is not None:
            parts.append(f"{measure.title} {score_text(measure, metrics.final.quality.get(measure.name))}")
    return f"{metrics.recipe}: {metrics.status.replace('_', ' ')}: " + ", ".join(parts)


def _short(cell: str, width: int) -> str:
    """Without its interval where there is no room for it."""
    return cell if width >= 140 else cell.partition(" [")[0]


def rich_table(metrics: Metrics, width: int = 160) -> Group:
    """The closing table for a terminal of `width` characters; Markdown, so that it can be pasted."""
    heads = columns(metrics)
    answers = range(2, 1 + len(answer_columns(measures_of(metrics))))  # beside the headline, as far as there is room
    shown = [index for index in range(len(heads)) if width >= 140 or index not in answers]
    table = Table(box=box.MARKDOWN, padding=0)
    for index in shown:
        table.add_column(heads[index], justify="left" if index == 0 else "right", no_wrap=True)
    for step, cells in zip(metrics.passes, rows(metrics), strict=True):
        baseline = step.label == metrics.baseline_step
        table.add_row(
            *[Text(f" {_short(cells[index], width)} ") for index in shown], style="bold" if baseline else None
        )
    lines: list[Text | Table | Group] = [Text(headline(metrics), style="bold"), table]
    lines += [Text(f"- {step.label}: {finding}") for step in metrics.passes for finding in step.findings]
    lines += [Text(("ok    " if result.met else "MISS  ") + goal_line(result, metrics.task)) for result in metrics.goal]
    if metrics.target != "host":
        lines += [Text(f"- {metrics.target}: {estimate_line(item)}") for item in metrics.estimates]
    if metrics.proofs:
        lines += [Text(""), rich_proofs(metrics.proofs, metrics.task)]
    return Group(*lines)


def rich_proofs(proofs: Sequence[Proof], task: TaskRecord | None = None) -> Group:
    """The table of proofs for a terminal, with a line for each that failed or was skipped."""
    table = Table(box=box.MARKDOWN, padding=0)
    for index, name in enumerate(proof_columns(task, proofs)):
        table.add_column(f" {name} ", justify="left" if index == 0 else "right", no_wrap=True)
    for proof, row in zip(proofs, proof_rows(task, proofs), strict=True):
        cells = [Text(f" {cell} ") for cell in row]
        table.add_row(*cells, style="red" if proof.status == "failed" else None)
    return Group(table, *[Text(f"- {note}") for note in proof_notes(proofs)])


_MARKS = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown takes for marks; an underscore within a word is none."""


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, HTML and emphasis included."""
    return _MARKS.sub(r"\\\g<0>", html.escape(text, quote=False)).replace("\n", " ")


def markdown_rows(columns: tuple[str, ...], cells: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table; the first column is aligned left, the others right."""
    head = "| " + " | ".join(columns) + " |"
    rule = "|" + "|".join([":---"] + ["---:"] * (len(columns) - 1)) + "|"
    return "\n".join([head, rule, *("| " + " | ".join(map(markdown_text, row)) + " |" for row in cells)])


def markdown_table(metrics: Metrics) -> str:
    """The closing table, findings and goals as Markdown."""
    text = [
        f"**{markdown_text(headline(metrics))}**",
        "",
        markdown_rows(columns(metrics), rows(metrics)),
    ]
    found = [
        f"- {markdown_text(step.label)}: {markdown_text(finding)}"
        for step in metrics.passes
        for finding in step.findings
    ]
    if found:
        text += ["", *found]
    if metrics.goal:
        text += [
            "",
            *(
                f"- {'✔' if result.met else '✘'} {markdown_text(goal_line(result, metrics.task))}"
                for result in metrics.goal
            ),
        ]
    if metrics.proofs:
        text += ["", markdown_proofs(metrics.proofs, metrics.task)]
    return "\n".join(text) + "\n"


def markdown_proofs(proofs: Sequence[Proof], task: TaskRecord | None = None) -> str:
    """The table of proofs as Markdown."""
    notes = [f"- {markdown_text(note)}" for note in proof_notes(proofs)]
    return "\n".join([markdown_rows(proof_columns(task, proofs), proof_rows(task, proofs)), *notes])
