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
from edgepipe.records.metrics import Metrics
from edgepipe.records.pareto import on_front
from edgepipe.records.quality import quality
from edgepipe.report.page import page
from edgepipe.report.svg import Dot, scatter
from edgepipe.report.table import markdown_rows, megabytes, milliseconds, points, times

Run = tuple[list[str], Metrics | None, Path]
"""The overrides of a job, its metrics (None: it never began), its folder."""

COLUMNS = ("run", "status", "top-1", "drop (95%)", "MB", "smaller", "ms", "faster (95%)", "MMACs", "front")

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
    """Which runs no other run beats in both accuracy and `cost`; equal ones stay together."""
    places: dict[int, tuple[float, float]] = {}
    for number, record in enumerate(records):
        answers = quality(record["final"])
        if answers is not None and record["final"][cost] is not None:
            places[number] = (answers.value, record["final"][cost])
    front = dict(zip(places, on_front(list(places.values()), (True, not lower_is_better)), strict=True))
    return [front.get(number, False) for number in range(len(records))]


def _cells(record: dict[str, Any]) -> tuple[str, ...]:
    final, versus = record["final"], record["versus_baseline"]
    status = record["status"].replace("_", " ")
    if final is None:
        return (record["name"], status, *["-"] * (len(COLUMNS) - 2))
    drop = "-"
    if versus and versus["accuracy_drop"] is not None:
        drop = points(versus["accuracy_drop"], versus["accuracy_drop_ci95"])
    elif versus and versus.get("mae_rise") is not None:
        drop = f"MAE {versus['mae_rise']:+.4g}"
    answers = quality(final)
    name = "" if answers is None or answers.name == "top-1" else f"{answers.name} "
    return (
        record["name"],
        status,
        "-" if answers is None else name + answers.text,
        drop,
        megabytes(final["size_bytes"]),
        times(versus["times_smaller"]) if versus else "-",
        milliseconds(final["latency_p50_ms"]),
        times(versus["times_faster"], versus["times_faster_ci95"]) if versus else "-",
        f"{final['macs'] / 1e6:.{1 if final['macs'] >= 1e6 else 4}f}",
        "*" if record["pareto"]["latency_p50_ms"] else "",
    )


def rich_sweep(runs: Sequence[Run]) -> Table:
    """The summary table for a terminal. A star: no other run is both more accurate and faster."""
    table = Table(box=box.MARKDOWN, padding=(0, 1))
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("run", "status") else "right", no_wrap=True)
    for record in _records(runs, Path.cwd()):
        table.add_row(*[Text(cell) for cell in _cells(record)], style="red" if record["status"] == "failed" else None)
    return table


def _csv(records: Sequence[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    plain = (
        "top1",
        "top5",
        "mae",
        "r2",
        "cosine",
        "size_bytes",
        "gzip_bytes",
        "parameters",
        "macs",
        "latency_p50_ms",
        "latency_p90_ms",
    )
    compared = ("times_smaller", "times_faster", "accuracy_drop", "agreement")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["name", "status", "folder", *plain, *compared])
    for record in records:
        final, versus = record["final"] or {}, record["versus_baseline"] or {}
        # A leading sign would be read as a formula by spreadsheets.
        name = "'" + record["name"] if record["name"][:1] in "=+-@" else record["name"]
        values = [*(final.get(key) for key in plain), *(versus.get(key) for key in compared)]
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


def _html(records: Sequence[dict[str, Any]]) -> str:
    return page(f"edgepipe: {len(records)} runs", _body(records), _SORT)


def _body(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    failed = sum(record["status"] == "failed" for record in records)
    recipes = sorted({record["recipe"] for record in records if record["recipe"]})
    yield f"<h1>{len(records)} runs of {html.escape(', '.join(recipes) or 'no valid recipe')}</h1>"
    kind = "bad" if failed else "soft"
    yield f'<p class="{kind}">{failed} failed. A star: no other run is both more accurate and faster.</p>'
    head = "".join(f"<th>{html.escape(column)}</th>" for column in COLUMNS)
    yield f'<div class="wide"><table class="sortable"><thead><tr>{head}</tr></thead><tbody>'
    for record in records:
        final, versus = record["final"] or {}, record["versus_baseline"] or {}
        answers = quality(final)
        keys: list[Any] = [
            None,
            None,
            answers.value if answers else None,
            versus.get("accuracy_drop"),
            final.get("size_bytes"),
            versus.get("times_smaller"),
            final.get("latency_p50_ms"),
            versus.get("times_faster"),
            final.get("macs"),
            None,
        ]
        link = html.escape(_link(record), quote=True)
        cells = []
        for index, (cell, key) in enumerate(zip(_cells(record), keys, strict=True)):
            text = html.escape(cell)
            if index == 0 and (final or record["recipe"]):
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
        judged = [(record, answers) for record in records if (answers := quality(record["final"])) is not None]
        classifies = all(answers.name == "top-1" for _, answers in judged)
        dots = [
            Dot(
                record["final"][axis] / scale,
                answers.value * (100 if classifies else 1),
                record["name"],
                _link(record),
                record["pareto"][axis],
            )
            for record, answers in judged
        ]
        if dots:
            yield f"<h2>Accuracy against {html.escape(title)}</h2>"
            yield scatter(dots, x_title=title, y_title="top-1, %" if classifies else judged[0][1].name)


def write_sweep(runs: Sequence[Run], folder: Path, errors: Mapping[str, str] | None = None) -> None:
    """Write sweep.json, sweep.csv, sweep.md and sweep.html into `folder`.

    Args:
        errors: why a job that has no metrics never began, by its folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records = _records(runs, folder, errors)
    content = {
        "sweep.json": json.dumps({"schema_version": 1, "runs": records}, indent=1) + "\n",
        "sweep.csv": _csv(records),
        "sweep.md": markdown_rows(COLUMNS, [_cells(record) for record in records]) + "\n",
        "sweep.html": _html(records),
    }
    for name, text in content.items():
        write_text(folder / name, lettered(text))
