"""What each layer alone costs: as a table, as Markdown, and as a section of a page."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from edgepipe.base.files import write_text
from edgepipe.contract import Measure
from edgepipe.records import old
from edgepipe.records.figures import ALIKE
from edgepipe.records.quality import TaskRecord
from edgepipe.records.sensitivity import LayerEffect, Sensitivity
from edgepipe.report.answers import values_text
from edgepipe.report.page import page, table
from edgepipe.report.svg import Bar, bars
from edgepipe.report.table import markdown_rows, markdown_text, percent

_COSTS = ("MMACs", "float: kB more", "float: ms more")
_SAVES = ("MMACs less", "kB less")
_ANSWERS = ("SQNR, dB", "share of error", ALIKE)
_MOST_BARS = 24


def headline_of(task: TaskRecord | None, items: Sequence[LayerEffect]) -> Measure | None:
    """The measure that says how the layers answer; without a task one is called by its name."""
    names = {name: None for item in items for name in item.quality}
    if task is not None:
        return next((measure for measure in task.measures if measure.name in names), None)
    return next((old.measure(name) or Measure(name, name, "higher", "") for name in names), None)


def quantized_columns(measure: Measure | None) -> tuple[str, ...]:
    """The heads of the table of layers alone in int8."""
    return ("alone in int8", "operator", *_heads(measure), *_COSTS)


def _heads(measure: Measure | None) -> tuple[str, ...]:
    return _ANSWERS if measure is None else (*_ANSWERS, measure.title)


def quantized_row(item: LayerEffect, measure: Measure | None) -> tuple[str, ...]:
    """The cells of one layer, in the order of `quantized_columns`."""
    kept = "" if item.int8 else " (stays float)"
    ms = "-" if item.float_ms is None else f"{item.float_ms:+.3f}"
    return (
        f"{item.name}{kept}",
        item.operator,
        *_answered(item, measure),
        _mmacs(item),
        f"{item.float_bytes / 1e3:,.1f}",
        ms,
    )


def pruned_columns(measure: Measure | None) -> tuple[str, ...]:
    """The heads of the table of layers alone pruned."""
    return ("alone pruned", "layer", *_heads(measure), *_SAVES)


def pruned_row(item: LayerEffect, measure: Measure | None) -> tuple[str, ...]:
    """The cells of one group of layers, in the order of `pruned_columns`."""
    return (item.name, item.operator, *_answered(item, measure), _mmacs(item), f"{item.float_bytes / 1e3:,.1f}")


def _answered(item: LayerEffect, measure: Measure | None) -> tuple[str, ...]:
    noise = "exact" if item.sqnr_db is None else f"{item.sqnr_db:.1f}"
    judged = () if measure is None else (values_text([measure], item.quality),)
    return (noise, percent(item.error_share, 1), percent(item.alike), *judged)


def _of_model(task: TaskRecord | None, quality: Mapping[str, float], what: str) -> str:
    """`; WHAT: MEASURE VALUE`, where anything was measured."""
    for name, value in quality.items():
        measure = (task.measure(name) if task else None) or old.measure(name) or Measure(name, name, "higher", "")
        return f"; {what}: {measure.title} {measure.text(value)}"
    return ""


def _mmacs(item: LayerEffect) -> str:
    return f"{item.macs / 1e6:.{1 if item.macs >= 1e5 else 4}f}"


def summary(found: Sensitivity) -> str:
    """What was looked at, in one sentence."""
    float_model = _of_model(found.task, found.quality, "the float model")
    return (
        f"{found.recipe}, step {found.label}: {len(found.layers)} layers, each alone in int8, on {found.examples:,} "
        f"evaluation examples, calibrated on {found.calibration_examples:,}{float_model}"
    )


def prune_summary(found: Sensitivity) -> str:
    """The same of what was pruned."""
    whole = _of_model(found.task, found.prune_quality, "before")
    return f"step {found.prune_label}: {percent(found.prune_ratio, 0)} of each pruned alone, without training{whole}"


def _tables(found: Sensitivity) -> Iterator[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    measure = headline_of(found.task, [*found.layers, *found.pruned])
    rows = [quantized_row(item, measure) for item in found.layers]
    if found.every is not None:
        rows.append((found.every.name, *quantized_row(found.every, measure)[1:]))
    yield summary(found), quantized_columns(measure), rows
    if found.pruned:
        yield prune_summary(found), pruned_columns(measure), [pruned_row(item, measure) for item in found.pruned]


def rich_sensitivity(found: Sensitivity) -> Group:
    """For a terminal; Markdown, so that it can be pasted."""
    parts: list[Text | Table] = []
    for text, columns, rows in _tables(found):
        shown = Table(box=box.MARKDOWN, padding=0)
        for index, name in enumerate(columns):
            shown.add_column(f" {name} ", justify="left" if index == 0 else "right", no_wrap=True)
        for cells in rows:
            shown.add_row(*[Text(f" {cell} ") for cell in cells])
        parts += [Text(text, style="bold"), shown]
    return Group(*parts)


def markdown_sensitivity(found: Sensitivity) -> str:
    """For a pull request."""
    return "\n".join(
        f"**{markdown_text(text)}**\n\n{markdown_rows(columns, rows)}\n" for text, columns, rows in _tables(found)
    )


def layers_section(
    layers: Sequence[LayerEffect], kept: Sequence[str] = (), task: TaskRecord | None = None
) -> Iterator[str]:
    """Bars and a table of layers alone in int8; those whose nodes are `kept` in float are bold."""
    measure = headline_of(task, layers)
    shown = layers[:_MOST_BARS]
    yield '<div class="charts">'
    yield bars(
        [
            Bar(_short(item.name), item.error_share, percent(item.error_share, 1), None, item.node in kept)
            for item in shown
        ],
        title="Share of the error that all layers make, each alone in int8",
    )
    yield "</div>"
    strong = [index for index, item in enumerate(layers) if item.node in kept]
    yield table(quantized_columns(measure), [quantized_row(item, measure) for item in layers], left=(1,), strong=strong)
    yield (
        '<p class="soft">SQNR: energy of the float model\'s outputs over that of the error, in decibels; 6 dB are '
        "one bit. Kept float, a layer's weights take four bytes each; its milliseconds are those that the table of "
        "kernel costs predicts.</p>"
    )


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"…{name[-15:]}"  # what the chart has room for


def write_sensitivity(found: Sensitivity, path: Path) -> None:
    """One self-contained page; it appears whole or not at all."""
    write_text(path, page(f"edgepipe: sensitivity of {found.recipe}", _body(found)))


def _body(found: Sensitivity) -> Iterator[str]:
    yield f"<h1>{html.escape(found.recipe)}: sensitivity</h1>"
    yield f'<div class="soft">{html.escape(summary(found))}, {html.escape(found.environment.cpu)}</div>'
    yield "<h2>Each layer alone in int8</h2>"
    measure = headline_of(found.task, [*found.layers, *found.pruned])
    yield from layers_section(found.layers, task=found.task)
    if found.every is not None:
        yield "<h2>All layers at once</h2>"
        row = (found.every.name, *quantized_row(found.every, measure)[1:])
        yield table(quantized_columns(measure), [row], left=(1,))
    if found.pruned:
        yield "<h2>Each group of layers alone pruned</h2>"
        yield f"<p>{html.escape(prune_summary(found))}</p>"
        yield table(pruned_columns(measure), [pruned_row(item, measure) for item in found.pruned], left=(1,))
    yield "<h2>For a pull request</h2>"
    pasted = html.escape(markdown_sensitivity(found))
    yield f"<details><summary>The tables as Markdown</summary><pre>{pasted}</pre></details>"
