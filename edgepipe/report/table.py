"""The closing table of a run: for a terminal, and as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from edgepipe.metrics import GoalResult, Interval, Metrics, Proof, StepRecord
from edgepipe.report.proofs import PROOF_COLUMNS, proof_notes, proof_row

COLUMNS = ("step", "top-1", "drop (95%)", "agreement", "MB", "smaller", "ms", "faster (95%)", "int8 conv", "seconds")
_GOALS = {
    "times_smaller": ("smaller", "{:.2f}x"),
    "times_faster": ("faster", "{:.2f}x"),
    "accuracy_drop": ("accuracy drop", "{:.2%}"),
    "size_bytes": ("bytes", "{:,.0f}"),
    "agreement": ("agreement", "{:.2%}"),
    "top1": ("top-1", "{:.2%}"),
    "latency_p50_ms": ("latency p50, ms", "{:.2f}"),
    "peak_rss_bytes": ("peak memory, bytes", "{:,.0f}"),
    "gzip_bytes": ("bytes gzipped", "{:,.0f}"),
}


def percent(value: float | None, digits: int = 2) -> str:
    """A share in [0, 1] as text, `-` where it is not known."""
    return "-" if value is None else f"{100 * value:.{digits}f}%"


def points(value: float, interval: Interval | None) -> str:
    """An accuracy drop in percentage points with its 95% interval."""
    text = f"{100 * value:+.2f}"
    return text if interval is None else f"{text} [{100 * interval[0]:+.2f}, {100 * interval[1]:+.2f}]"


def times(value: float, interval: Interval | None = None) -> str:
    """A ratio with its 95% interval."""
    text = f"{value:.2f}x"
    return text if interval is None else f"{text} [{interval[0]:.2f}, {interval[1]:.2f}]"


def row(step: StepRecord) -> tuple[str, ...]:
    """The cells of one step, in the order of `COLUMNS`."""
    measured, versus = step.measurements, step.versus_baseline
    label = f"{step.label} (inserted)" if step.inserted else step.label
    if measured is None:
        return (label, step.status.replace("_", " "), *[""] * (len(COLUMNS) - 2))
    drop = "-"
    if versus is not None and versus.accuracy_drop is not None:
        drop = points(versus.accuracy_drop, versus.accuracy_drop_ci95)
    return (
        label,
        percent(measured.top1),
        drop,
        percent(versus.agreement if versus else None),
        f"{measured.size_bytes / 1e6:.2f}",
        times(versus.times_smaller) if versus else "-",
        f"{measured.latency_p50_ms:.2f}",
        times(versus.times_faster, versus.times_faster_ci95) if versus else "-",
        percent(measured.int8_share.conv, 0),
        "cached" if step.cached else f"{step.seconds:.1f}",
    )


def goal_line(result: GoalResult) -> str:
    """One line of the goal: what was wanted, what came, and the margin."""
    name, form = _GOALS.get(result.name, (result.name, "{:.4g}"))
    if result.got is None or result.margin is None:
        return f"{name}: wanted {form.format(result.wanted)}, not measured"
    word = "met" if result.met else "MISSED"
    side = "to spare" if result.met else "short"
    return (
        f"{name}: {form.format(result.got)}, goal {form.format(result.wanted)}: {word}, "
        f"{form.format(abs(result.margin))} {side}"
    )


def headline(metrics: Metrics) -> str:
    """The whole run in one line."""
    versus = metrics.versus_baseline
    if metrics.status == "failed" or versus is None:
        return f"{metrics.recipe}: {metrics.status.replace('_', ' ')}"
    parts = [times(versus.times_smaller) + " smaller", times(versus.times_faster) + " faster"]
    if versus.accuracy_drop is not None:
        parts.append(f"accuracy drop {100 * versus.accuracy_drop:+.2f} points")
    return f"{metrics.recipe}: {metrics.status.replace('_', ' ')}: " + ", ".join(parts)


_NARROW = ("step", "top-1", "MB", "smaller", "ms", "faster (95%)", "int8 conv", "seconds")


def _short(cell: str, width: int) -> str:
    """Without its interval where there is no room for it."""
    return cell if width >= 140 else cell.partition(" [")[0]


def rich_table(metrics: Metrics, width: int = 160) -> Group:
    """The closing table for a terminal of `width` characters; Markdown, so that it can be pasted."""
    shown = [index for index, name in enumerate(COLUMNS) if width >= 140 or name in _NARROW]
    table = Table(box=box.MARKDOWN, padding=0)
    for index in shown:
        table.add_column(COLUMNS[index], justify="left" if index == 0 else "right", no_wrap=True)
    for step in metrics.passes:
        baseline = step.label == metrics.baseline_step
        cells = row(step)
        table.add_row(
            *[Text(f" {_short(cells[index], width)} ") for index in shown], style="bold" if baseline else None
        )
    lines: list[Text | Table | Group] = [Text(headline(metrics), style="bold"), table]
    lines += [Text(f"- {step.label}: {finding}") for step in metrics.passes for finding in step.findings]
    lines += [Text(("ok    " if result.met else "MISS  ") + goal_line(result)) for result in metrics.goal]
    if metrics.proofs:
        lines += [Text(""), rich_proofs(metrics.proofs)]
    return Group(*lines)


def rich_proofs(proofs: Sequence[Proof]) -> Group:
    """The table of proofs for a terminal, with a line for each that failed or was skipped."""
    table = Table(box=box.MARKDOWN, padding=0)
    for index, name in enumerate(PROOF_COLUMNS):
        table.add_column(f" {name} ", justify="left" if index == 0 else "right", no_wrap=True)
    for proof in proofs:
        cells = [Text(f" {cell} ") for cell in proof_row(proof)]
        table.add_row(*cells, style="red" if proof.status == "failed" else None)
    return Group(table, *[Text(f"- {note}") for note in proof_notes(proofs)])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def markdown_rows(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table; the first column is aligned left, the others right."""
    head = "| " + " | ".join(columns) + " |"
    rule = "|" + "|".join([":---"] + ["---:"] * (len(columns) - 1)) + "|"
    return "\n".join([head, rule, *("| " + " | ".join(map(_cell, cells)) + " |" for cells in rows)])


def markdown_table(metrics: Metrics) -> str:
    """The closing table, findings and goals as Markdown."""
    text = [f"**{_cell(headline(metrics))}**", "", markdown_rows(COLUMNS, [row(step) for step in metrics.passes])]
    found = [f"- `{step.label}`: {_cell(finding)}" for step in metrics.passes for finding in step.findings]
    if found:
        text += ["", *found]
    if metrics.goal:
        text += ["", *(f"- {'✔' if result.met else '✘'} {goal_line(result)}" for result in metrics.goal)]
    if metrics.proofs:
        text += ["", markdown_proofs(metrics.proofs)]
    return "\n".join(text) + "\n"


def markdown_proofs(proofs: Sequence[Proof]) -> str:
    """The table of proofs as Markdown."""
    notes = [f"- {_cell(note)}" for note in proof_notes(proofs)]
    return "\n".join([markdown_rows(PROOF_COLUMNS, [proof_row(proof) for proof in proofs]), *notes])
