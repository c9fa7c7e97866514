"""The closing table of a run: for a terminal, and as Markdown for a pull request."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from edgepipe.contract import Interval
from edgepipe.records.metrics import Estimate, GoalResult, Measurements, Metrics, Proof, StepRecord, Versus
from edgepipe.records.quality import quality
from edgepipe.report.proofs import PROOF_COLUMNS, proof_notes, proof_row

_ANSWERS = {
    "top-1": ("top-1", "drop (95%)", "agreement"),
    "R2": ("MAE", "rise (95%)", "R2"),
    "MAE": ("MAE", "rise (95%)", "R2"),
    "cosine": ("cosine", "95%", "lowest 1%"),
}
_COST = ("MB", "smaller", "ms", "faster (95%)")
_FIGURES = "three significant figures"
_GOALS = {
    "times_smaller": ("smaller", "{:.2f}x"),
    "times_faster": ("faster", "{:.2f}x"),
    "accuracy_drop": ("accuracy drop", "{:.2f} points"),
    "size_bytes": ("bytes", "{:,.0f}"),
    "agreement": ("agreement", "{:.2%}"),
    "top1": ("top-1", "{:.2%}"),
    "mae": ("MAE", "{:.4g}"),
    "mae_rise": ("rise of the MAE", "{:.4g}"),
    "r2": ("R2", "{:.4f}"),
    "cosine": ("cosine", "{:.4f}"),
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


def points(value: float, interval: Interval | None) -> str:
    """An accuracy drop in percentage points with its 95% interval."""
    text = f"{100 * value:+.2f}"
    return text if interval is None else f"{text} [{100 * interval[0]:+.2f}, {100 * interval[1]:+.2f}]"


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
    """The heads of the table: how a model answers is said in the measure of its task."""
    measured = [step.measurements for step in metrics.passes if step.measurements is not None]
    answers = next((found.name for item in measured if (found := quality(item)) is not None), "top-1")
    products = any(item.int8_share.matmul is not None for item in measured)
    int8 = "int8 matmul" if products and all(item.int8_share.conv is None for item in measured) else "int8 conv"
    return ("step", *_ANSWERS[answers], *_COST, int8, "seconds")


def _answers(measured: Measurements, versus: Versus | None) -> tuple[str, str, str]:
    if measured.mae is not None:
        rise = versus.mae_rise if versus else None
        interval = versus.mae_rise_ci95 if versus else None
        text = "-" if rise is None else f"{rise:+.4g}"
        return (
            f"{measured.mae:.4g}",
            text + (f" [{interval[0]:+.4g}, {interval[1]:+.4g}]" if interval else ""),
            "-" if measured.r2 is None else f"{measured.r2:.4f}",
        )
    if measured.cosine is not None:
        low, high = measured.cosine_ci95 or (measured.cosine, measured.cosine)
        return f"{measured.cosine:.4f}", f"[{low:.4f}, {high:.4f}]", f"{measured.cosine_p01 or 0:.4f}"
    drop = "-"
    if versus is not None and versus.accuracy_drop is not None:
        drop = points(versus.accuracy_drop, versus.accuracy_drop_ci95)
    return percent(measured.top1), drop, percent(versus.agreement if versus else None)


def row(step: StepRecord) -> tuple[str, ...]:
    """The cells of one step, in the order of `columns`."""
    measured, versus = step.measurements, step.versus_baseline
    label = f"{step.label} (inserted)" if step.inserted else step.label
    if measured is None:
        return (label, step.status.replace("_", " "), *[""] * 8)
    share = measured.int8_share.matmul if measured.int8_share.conv is None else measured.int8_share.conv
    return (
        label,
        *_answers(measured, versus),
        megabytes(measured.size_bytes),
        times(versus.times_smaller) if versus else "-",
        milliseconds(measured.latency_p50_ms),
        times(versus.times_faster, versus.times_faster_ci95) if versus else "-",
        percent(share, 0),
        "cached" if step.cached else f"{step.seconds:.1f}",
    )


def _in(form: str, value: float) -> str:
    return f"{float(f'{value:.3g}'):g}" if form == _FIGURES else form.format(value)


def goal_line(result: GoalResult) -> str:
    """One line of the goal: what was wanted, what came, and the margin."""
    name, form = _GOALS.get(result.name, (result.name, "{:.4g}"))
    unit = 100 if form.endswith("points") else 1
    wanted = _in(form, unit * result.wanted)
    if result.got is None or result.margin is None:
        return f"{name}: wanted {wanted}, not measured"
    word = "met" if result.met else "MISSED"
    side = "to spare" if result.met else "short"
    estimate = f" (estimate: {result.method})" if result.method else ""
    return (
        f"{name}: {_in(form, unit * result.got)}, goal {wanted}: {word}, "
        f"{_in(form, unit * abs(result.margin))} {side}{estimate}"
    )


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
    if versus.accuracy_drop is not None:
        parts.append(f"accuracy drop {100 * versus.accuracy_drop:+.2f} points")
    elif metrics.final is not None and (found := quality(metrics.final)) is not None:
        parts.append(f"{found.name} {found.text}")
    return f"{metrics.recipe}: {metrics.status.replace('_', ' ')}: " + ", ".join(parts)


_WIDE = (2, 3)


def _short(cell: str, width: int) -> str:
    """Without its interval where there is no room for it."""
    return cell if width >= 140 else cell.partition(" [")[0]


def rich_table(metrics: Metrics, width: int = 160) -> Group:
    """The closing table for a terminal of `width` characters; Markdown, so that it can be pasted."""
    heads = columns(metrics)
    shown = [index for index in range(len(heads)) if width >= 140 or index not in _WIDE]
    table = Table(box=box.MARKDOWN, padding=0)
    for index in shown:
        table.add_column(heads[index], justify="left" if index == 0 else "right", no_wrap=True)
    for step in metrics.passes:
        baseline = step.label == metrics.baseline_step
        cells = row(step)
        table.add_row(
            *[Text(f" {_short(cells[index], width)} ") for index in shown], style="bold" if baseline else None
        )
    lines: list[Text | Table | Group] = [Text(headline(metrics), style="bold"), table]
    lines += [Text(f"- {step.label}: {finding}") for step in metrics.passes for finding in step.findings]
    lines += [Text(("ok    " if result.met else "MISS  ") + goal_line(result)) for result in metrics.goal]
    if metrics.target != "host":
        lines += [Text(f"- {metrics.target}: {estimate_line(item)}") for item in metrics.estimates]
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


_MARKS = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown takes for marks; an underscore within a word is none."""


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, HTML and emphasis included."""
    return _MARKS.sub(r"\\\g<0>", html.escape(text, quote=False)).replace("\n", " ")


def markdown_rows(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table; the first column is aligned left, the others right."""
    head = "| " + " | ".join(columns) + " |"
    rule = "|" + "|".join([":---"] + ["---:"] * (len(columns) - 1)) + "|"
    return "\n".join([head, rule, *("| " + " | ".join(map(markdown_text, cells)) + " |" for cells in rows)])


def markdown_table(metrics: Metrics) -> str:
    """The closing table, findings and goals as Markdown."""
    text = [
        f"**{markdown_text(headline(metrics))}**",
        "",
        markdown_rows(columns(metrics), [row(step) for step in metrics.passes]),
    ]
    found = [
        f"- {markdown_text(step.label)}: {markdown_text(finding)}"
        for step in metrics.passes
        for finding in step.findings
    ]
    if found:
        text += ["", *found]
    if metrics.goal:
        text += ["", *(f"- {'✔' if result.met else '✘'} {markdown_text(goal_line(result))}" for result in metrics.goal)]
    if metrics.proofs:
        text += ["", markdown_proofs(metrics.proofs)]
    return "\n".join(text) + "\n"


def markdown_proofs(proofs: Sequence[Proof]) -> str:
    """The table of proofs as Markdown."""
    notes = [f"- {markdown_text(note)}" for note in proof_notes(proofs)]
    return "\n".join([markdown_rows(PROOF_COLUMNS, [proof_row(proof) for proof in proofs]), *notes])
