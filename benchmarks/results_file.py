"""Results as data: `benchmarks/results/NAME.json`, a table with all that says where its figures come from.

Pages in docs/results/ and the table of the README are written from these files by `python -m tests.docs`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "results"


class Result(BaseModel):
    """One table.

    Attributes:
        title: what was tried, as a heading.
        page: the page of docs/results/ that shows it; `order` is its place there.
        how: recorded by `benchmarks.record`, or transcribed from a document that was printed before there were files.
        commands: lines for a shell, as they were typed.
        commit: of edgepipe; `dirty`: with changes that were not committed.
        behind: files and folders whose changes may move the figures.
        before, after: Markdown around the table.
        columns, rows: the table, as it was printed; `output`: lines that were printed where there is no table.
        summary: what the README calls it; empty: it does not stand there. `summary_row`: which row.
        run: of a run of edgepipe, what its metrics.json says of the final model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    page: str = Field(pattern=r"^[a-z0-9-]+$")
    order: int = 100
    how: Literal["recorded", "transcribed"]
    commands: list[str]
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    dirty: bool = False
    date: str
    machine: str
    versions: dict[str, str] = {}
    behind: list[str] = ["edgepipe"]
    before: str = ""
    after: str = ""
    columns: list[str] = []
    rows: list[list[str]] = []
    output: list[str] = []
    summary: str = ""
    summary_row: int = -1
    run: dict[str, object] = {}

    @model_validator(mode="after")
    def _shaped(self) -> Result:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("rows: each has a cell for every column")
        if not self.rows and not self.output:
            raise ValueError("rows: there are none, and no output either")
        return self


def read(path: Path) -> Result:
    """A result from its file."""
    return Result.model_validate_json(path.read_text(encoding="utf-8"))


def read_all(folder: Path = FOLDER) -> dict[str, Result]:
    """Every result by the name of its file."""
    return {path.stem: read(path) for path in sorted(folder.glob("*.json")) if path.name != "pages.json"}


def write(result: Result, path: Path) -> None:
    """A result into its file, a line for each row and each value beside, so that a change is read in a diff."""
    content = {key: value for key, value in result.model_dump(mode="json").items() if value != _defaults().get(key)}
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f" {_json(key)}: {_listed(value)}" for key, value in content.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _listed(value: object) -> str:
    """A list with a line for each member; of a mapping, for each key."""
    if isinstance(value, list):
        return "[\n" + ",\n".join(f"  {_json(item)}" for item in value) + "\n ]" if value else "[]"
    if isinstance(value, dict):
        inside = ",\n".join(f"  {_json(key)}: {_json(item)}" for key, item in value.items())
        return f"{{\n{inside}\n }}"
    return _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _defaults() -> dict[str, object]:
    return {name: field.default for name, field in Result.model_fields.items() if not field.is_required()}
