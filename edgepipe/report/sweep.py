"""Several runs beside each other: terminal table, sweep.json, sweep.csv, sweep.md and sweep.html."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from edgepipe.base.files import lettered, write_text
from edgepipe.contract import Measure
from edgepipe.records.figures import ALIKE, numbers
from edgepipe.records.metrics import Metrics
from edgepipe.records.pareto import on_front
from edgepipe.records.quality import TaskRecord, quality
from edgepipe.report.answers import change_word, drop_text, score_text, shown
from edgepipe.report.page import page
from edgepipe.report.svg import Dot, scatter
from edgepipe.report.table import markdown_rows, megabytes, milliseconds, times

Run = tuple[list[str], Metrics | None, Path]
"""The overrides of a job, its metrics (None: it never began), its folder."""

_COSTS = ("MB", "smaller", "ms", "faster (95%)", "MMACs", "front")

_LONGEST_NAME = 100
"""Characters; a longer name would push the numbers out of a terminal, and `sweep.json` has the overrides."""


def _names(runs: Sequence[Run]) -> list[str]:
    """What tells the runs apart: the overrides that not all of them share, else the folder's name."""
    if len(runs) == 1:
        _, metrics, folder = runs[0]
        return [metrics.recipe if metrics else folder.name]
    shared = set.intersection(*(set(overrides) for overrides, _, _ in runs))
    names = []
    for overrides, _, folder in runs:
        own = " ".join(item for item in overrides if item not in shared and not item.startswith("hydra."))
        names.append(own if own and len(own) <= _LONGEST_NAME else folder.name)
    if len(set(names)) < len(names):
        folders = [run[2].name for run in runs]
        if len(set(folders)) < len(folders):
            folders = [Path(os.path.relpath(run[2])).as_posix() for run in runs]
        names = [f"{name} ({folder})" for name, folder in zip(names, folders, strict=True)]
    return names


def _records(runs: Sequence[Run], folder: Path, errors: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for name, (overrides, metrics, place) in zip(_names(runs), runs, strict=True):
        final, versus = (metrics.final, metrics.versus_baseline) if metrics else (None, None)
        failure = metrics.failure.message if metrics and metrics.failure else None
        records.append(
            {
                "name": name,
                "overrides": overrides,
                "folder": Path(os.path.relpath(place, folder)).as_posix(),
                "recipe": metrics.recipe if metrics else None,
                "task": metrics.task.model_dump(mode="json") if metrics and metrics.task else None,
                "status": metrics.status if metrics else "failed",
                "failure": failure
                if metrics
                else (errors or {}).get(str(place), "it never began; see the job's output"),
                "final": final.model_dump(mode="json") if final else None,
                "versus_baseline": versus.model_dump(mode="json") if versus else None,
            }
        )
    for axis, lower_is_better in (("latency_p50_ms", True), ("size_bytes", True), ("macs", True)):
        for record, best in zip(records, pareto(records, axis, lower_is_better), strict=True):
            record.setdefault("pareto", {})[axis] = best
    return records


def pareto(records: Sequence[dict[str, Any]], cost: str, lower_is_better: bool = True) -> list[bool]:
    """Which runs no other run of the same task beats in both its headline measure and `cost`; equal ones stay."""
    places: dict[str, dict[int, tuple[float, float]]] = {}
    for number, record in enumerate(records):
        answers = quality(record["final"])
        if answers is not None and record["final"][cost] is not None:
            task = (record.get("task") or {}).get("name", "")
            places.setdefault(task, {})[number] = (answers.value, record["final"][cost])
    front: dict[int, bool] = {}
    for own in places.values():
        front |= zip(own, on_front(list(own.values()), (True, not lower_is_better)), strict=True)
    return [front.get(number, False) for number in range(len(records))]


def _tasks(runs: Sequence[Run]) -> list[TaskRecord]:
    """The tasks of the runs, each once."""
    found = {metrics.task.name: metrics.task for _, metrics, _ in runs if metrics is not None and metrics.task}
    return list(found.values())


def _headline(metrics: Metrics) -> Measure | None:
    """The first measure of a run's task that its final model has."""
    return next(iter(shown(metrics.task, [metrics.final])), None)


def _columns(runs: Sequence[Run]) -> tuple[str, ...]:
    """The heads: of runs of one task its headline measure, else each cell says which it is."""
    found = {measure for _, metrics, _ in runs if metrics is not None and (measure := _headline(metrics)) is not None}
    if len(found) == 1:
        (measure,) = found
        return ("run", "status", measure.title, f"{change_word(measure)} (95%)", *_COSTS)
    return ("run", "status", "quality", "worse by (95%)", *_COSTS)


def _cells(record: dict[str, Any], metrics: Metrics | None, columns: Sequence[str]) -> tuple[str, ...]:
    final, versus = (metrics.final, metrics.versus_baseline) if metrics else (None, None)
    status = record["status"].replace("_", " ")
    if metrics is None or final is None:
        return (record["name"], status, *["-"] * (len(columns) - 2))
    measure = _headline(metrics)
    value, drop = "-", "-"
    if measure is not None:
        named = "" if measure.title in columns else f"{measure.title} "
        value = named + score_text(measure, final.quality.get(measure.name))
        drop = drop_text(measure, versus.quality.get(measure.name) if versus else None)
    return (
        record["name"],
        status,
        value,
        drop,
        megabytes(final.size_bytes),
        times(versus.times_smaller) if versus else "-",
        milliseconds(final.latency_p50_ms),
        times(versus.times_faster, versus.times_faster_ci95) if versus else "-",
        f"{final.macs / 1e6:.{1 if final.macs >= 1e6 else 4}f}",
        "*" if record["pareto"]["latency_p50_ms"] else "",
    )


def _keys(metrics: Metrics | None) -> list[Any]:
    """What the columns of a run are sorted by; None: by their text."""
    final, versus = (metrics.final, metrics.versus_baseline) if metrics else (None, None)
    if metrics is None or final is None:
        return [None] * (4 + len(_COSTS))
    measure = _headline(metrics)
    score = final.quality.get(measure.name) if measure else None
    drop = versus.quality.get(measure.name) if measure and versus else None
    return [
        None,
        None,
        score.value if score else None,
        drop.drop if drop else None,
        final.size_bytes,
        versus.times_smaller if versus else None,
        final.latency_p50_ms,
        versus.times_faster if versus else None,
        final.macs,
        None,
    ]


def rich_sweep(runs: Sequence[Run]) -> Table:
    """The summary table for a terminal. A star: no other run both answers better and is faster."""
    table = Table(box=box.MARKDOWN, padding=(0, 1))
    columns = _columns(runs)
    for column in columns:
        table.add_column(column, justify="left" if column in ("run", "status") else "right", no_wrap=True)
    for record, (_, metrics, _) in zip(_records(runs, Path.cwd()), runs, strict=True):
        cells = [Text(cell) for cell in _cells(record, metrics, columns)]
        table.add_row(*cells, style="red" if record["status"] == "failed" else None)
    return table


_PLAIN = ("size_bytes", "gzip_bytes", "parameters", "macs", "latency_p50_ms", "latency_p90_ms")
_COMPARED = ("times_smaller", "times_faster")


def _csv(records: Sequence[dict[str, Any]], runs: Sequence[Run]) -> str:
    """A line for each run; what the tasks measure stands under the names that goals have for it."""
    buffer = io.StringIO()
    measures = list({measure.name: measure for task in _tasks(runs) for measure in task.measures}.values())
    writer = csv.writer(buffer, lineterminator="\n")
    answers = [*(measure.name for measure in measures), *(measure.change_name for measure in measures), ALIKE]
    writer.writerow(["name", "status", "folder", *answers, *_PLAIN, *_COMPARED])
    for record, (_, metrics, _) in zip(records, runs, strict=True):
        final, versus = record["final"] or {}, record["versus_baseline"] or {}
        known = numbers(metrics.task, metrics.final, metrics.versus_baseline) if metrics else {}
        # A leading sign would be read as a formula by spreadsheets.
        name = "'" + record["name"] if record["name"][:1] in "=+-@" else record["name"]
        values = [known[key].value if key in known else None for key in answers]
        values += [*(final.get(key) for key in _PLAIN), *(versus.get(key) for key in _COMPARED)]
        writer.writerow([name, record["status"], record["folder"], *("" if v is None else v for v in values)])
    return buffer.getvalue()


_SORT = """
for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.addEventListener("click", event => {
    const column = event.target.cellIndex, body = table.tBodies[0];
    const down = event.target.dataset.down = event.target.dataset.down === "1" ? "0" : "1";
    const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const number = text => text === "" ? NaN : Number(text);
    [...body.rows].sort((a, b) => {
      const x = key(a), y = key(b), p = number(x), q = number(y);
      const order = Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q;
      return down === "1" ? order : -order;
    }).forEach(row => body.append(row));
  });
}
"""


def _link(record: Mapping[str, Any]) -> str:
    """A run's report as a relative link; a folder's name may hold `#`, `?` or `%`."""
    return urllib.parse.quote(os.fsencode(f"{record['folder']}/report.html"))


def _html(records: Sequence[dict[str, Any]], runs: Sequence[Run]) -> str:
    return page(f"edgepipe: {len(records)} runs", _body(records, runs), _SORT)


def _body(records: Sequence[dict[str, Any]], runs: Sequence[Run]) -> Iterator[str]:
    columns = _columns(runs)
    failed = sum(record["status"] == "failed" for record in records)
    recipes = sorted({record["recipe"] for record in records if record["recipe"]})
    yield f"<h1>{len(records)} runs of {html.escape(', '.join(recipes) or 'no valid recipe')}</h1>"
    kind = "bad" if failed else "soft"
    yield f'<p class="{kind}">{failed} failed. A star: no other run both answers better and is faster.</p>'
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    yield f'<div class="wide"><table class="sortable"><thead><tr>{head}</tr></thead><tbody>'
    for record, (_, metrics, _) in zip(records, runs, strict=True):
        link = html.escape(_link(record), quote=True)
        cells = []
        for index, (cell, key) in enumerate(zip(_cells(record, metrics, columns), _keys(metrics), strict=True)):
            text = html.escape(cell)
            if index == 0 and record["recipe"]:
                text = f'<a href="{link}">{text}</a>'
            cells.append(f"<td{'' if key is None else f' data-value={key}'}>{text}</td>")
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"
    for record in records:
        if record["failure"]:
            yield f'<p class="bad"><b>{html.escape(record["name"])}</b>: {html.escape(record["failure"])}</p>'
    for axis, title, scale in (
        ("latency_p50_ms", "latency p50, ms", 1.0),
        ("size_bytes", "size, MB", 1e6),
        ("macs", "multiply-accumulates, millions", 1e6),
    ):
        for task in _tasks(runs):
            yield from _front(task, records, runs, axis, title, scale)


def _front(
    task: TaskRecord, records: Sequence[dict[str, Any]], runs: Sequence[Run], axis: str, title: str, scale: float
) -> Iterator[str]:
    """A task's headline measure against a cost."""
    own = [
        (record, metrics.final.quality[measure.name].value)
        for record, (_, metrics, _) in zip(records, runs, strict=True)
        if metrics is not None and metrics.task == task and metrics.final is not None
        for measure in task.measures[:1]
        if measure.name in metrics.final.quality
    ]
    percent = task.measures[0].unit == "share"
    dots = [
        Dot(
            record["final"][axis] / scale,
            value * (100 if percent else 1),
            record["name"],
            _link(record),
            record["pareto"][axis],
        )
        for record, value in own
        if value is not None
    ]
    if dots:
        name = task.measures[0].title
        yield f"<h2>{html.escape(name[:1].upper() + name[1:])} against {html.escape(title)}</h2>"
        yield scatter(dots, x_title=title, y_title=f"{name}, %" if percent else name)


def write_sweep(runs: Sequence[Run], folder: Path, errors: Mapping[str, str] | None = None) -> None:
    """Write sweep.json, sweep.csv, sweep.md and sweep.html into `folder`.

    Args:
        errors: why a job that has no metrics never began, by its folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records = _records(runs, folder, errors)
    columns = _columns(runs)
    cells = [_cells(record, run[1], columns) for record, run in zip(records, runs, strict=True)]
    content = {
        "sweep.json": json.dumps({"schema_version": 2, "runs": records}, indent=1) + "\n",
        "sweep.csv": _csv(records, runs),
        "sweep.md": markdown_rows(columns, cells) + "\n",
        "sweep.html": _html(records, runs),
    }
    for name, text in content.items():
        write_text(folder / name, lettered(text))
