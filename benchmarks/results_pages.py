"""Markdown of results: a page each of docs/results/, and the table that the README shows."""

from __future__ import annotations

import json
from collections.abc import Sequence

from benchmarks.results_file import FOLDER, Result, read_all

NAMES = "pages.json"
_HOW = {
    "recorded": "Recorded by `python -m benchmarks.record`",
    "transcribed": "Printed by these commands and kept as printed, before results were files",
}


def results_of_pages() -> dict[str, list[tuple[str, Result]]]:
    """(file name, result) in order, by page."""
    found = sorted(read_all().items(), key=lambda item: (item[1].page, item[1].order, item[0]))
    pages: dict[str, list[tuple[str, Result]]] = {}
    for name, result in found:
        pages.setdefault(result.page, []).append((name, result))
    return pages


def result_pages() -> dict[str, str]:
    """Every page of docs/results/ by its name, the index among them."""
    named = json.loads((FOLDER / NAMES).read_text(encoding="utf-8"))
    pages = results_of_pages()
    known = {name: text for name, text in named.items() if name in pages}
    known |= {name: [pages[name][0][1].title, ""] for name in sorted(pages) if name not in known}
    made = {name: _page(title, about, pages[name]) for name, (title, about) in known.items()}
    lines = [
        "# Results",
        "",
        "Every table here is data, `benchmarks/results/*.json`, with the command, the commit, the machine and the date",
        "it was measured with; [what is measured, and how sure it is](../explanation/what-is-measured.md) says how to",
        "read it. Speed is a ratio to the float model of the same run on that machine: compare figures of one table.",
        "",
        *(f"- [{title}]({name}.md): {_first(pages[name])}" for name, (title, _) in known.items()),
        "",
        "A result is added or measured anew by one command: [record a result](../how-to/record-a-result.md).",
    ]
    return {**made, "index": "\n".join(lines) + "\n"}


def _first(results: Sequence[tuple[str, Result]]) -> str:
    titles = [result.title for _, result in results]
    return "; ".join(titles[:3]) + ("; and more" if len(titles) > 3 else "")


def _page(title: str, about: str, results: Sequence[tuple[str, Result]]) -> str:
    lines = [f"# {title}", ""]
    if about:
        lines += [about, ""]
    for name, result in results:
        lines += [*section(name, result), ""]
    return "\n".join(lines).rstrip() + "\n"


def section(name: str, result: Result) -> list[str]:
    """One result: what was done, the table, what it says, and where it comes from."""
    lines = [f"## {result.title}", ""]
    if result.before:
        lines += [result.before, ""]
    lines += ["```sh", *result.commands, "```", ""]
    if result.rows:
        lines += [*markdown(result.columns, result.rows), ""]
    if result.output:
        lines += ["```text", *result.output, "```", ""]
    if result.after:
        lines += [result.after, ""]
    versions = ", ".join(f"{key} {value}" for key, value in result.versions.items() if key in ("onnxruntime", "torch"))
    lines += [
        f"*{result.date}; {result.machine}{f'; {versions}' if versions else ''}. Commit `{result.commit[:12]}`"
        f"{' with changes that were not committed' if result.dirty else ''}. {_HOW[result.how]}: "
        f"`benchmarks/results/{name}.json`.*",
        f"<!-- changed since: {result.commit} {' '.join(result.behind)} -->",
    ]
    return lines


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table; all but the first column to the right where they hold numbers."""
    numeric = [any(row[at][:1] in "+-.0123456789" and row[at] for row in rows) for at in range(len(columns))]
    rule = [":---" if at == 0 or not numeric[at] else "---:" for at in range(len(columns))]
    return [_line(columns), f"|{'|'.join(rule)}|", *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def summary() -> list[str]:
    """The README's table: of each result that has a summary its deployed row."""
    rows = []
    for result in sorted(read_all().values(), key=lambda item: (item.page, item.order)):
        if not result.summary:
            continue
        row = dict(zip(result.columns, result.rows[result.summary_row], strict=True))
        headline = next(title for title in result.columns[1:] if title not in ("status", "operator", "alone in int8"))
        change = next((row[title] for title in result.columns if title.startswith(("drop", "rise"))), "")
        rows.append(
            [
                f"[{result.summary}](docs/results/{result.page}.md#{anchor(result.title)})",
                f"{headline} {row[headline]}",
                change,
                row.get("smaller", ""),
                row.get("faster (95%)", ""),
            ]
        )
    return markdown(("model, data, method", "quality", "worse by (95%)", "smaller", "faster (95%)"), rows)


def anchor(title: str) -> str:
    """The id that a heading gets."""
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return "-".join(kept.split())
