"""Tables that people keep examples in: JSON lines, CSV, TSV, plain lines, Parquet, Arrow; read row by row.

A table is untrusted: nothing in it is run, and a row or a group of rows that would fill the memory is refused.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

from edgepipe.base.files import is_file, is_folder
from edgepipe.base.text import printable
from edgepipe.errors import DataError

LINES = (".jsonl", ".ndjson", ".csv", ".tsv", ".txt")
ARROW = (".parquet", ".arrow")
SUFFIXES = (*LINES, *ARROW)
KINDS = "JSON lines (.jsonl), .csv, .tsv, .txt, .parquet or .arrow"


class Table(Protocol):
    """Rows of named values; a value is what JSON has, or bytes."""

    @property
    def columns(self) -> Sequence[str]: ...
    @property
    def files(self) -> Sequence[Path]: ...
    def __len__(self) -> int: ...
    def row(self, number: int, columns: Sequence[str]) -> dict[str, Any]:
        """Those columns of one row.

        Raises:
            DataError: it cannot be read, or lacks one of them.
        """
        ...

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The same of all rows, in their order, few of them in memory."""
        ...

    def classes(self, column: str) -> tuple[str, ...]:
        """Names of the numbers of a column, where the file says them, as the `datasets` library writes; else empty."""
        ...


@dataclass(frozen=True)
class Joined:
    """Several tables, one after another: the shards of one."""

    parts: Sequence[Table]

    @property
    def columns(self) -> Sequence[str]:
        return [name for name in self.parts[0].columns if all(name in part.columns for part in self.parts)]

    @property
    def files(self) -> Sequence[Path]:
        return [file for part in self.parts for file in part.files]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def row(self, number: int, columns: Sequence[str]) -> dict[str, Any]:
        ends = list(accumulate(map(len, self.parts)))
        part = bisect.bisect_right(ends, number)
        return self.parts[part].row(number - (ends[part - 1] if part else 0), columns)

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        for part in self.parts:
            yield from part.rows(columns)

    def classes(self, column: str) -> tuple[str, ...]:
        return self.parts[0].classes(column)


def open_table(key: str, path: Path) -> Table:
    """A file, or a folder of its shards, which are of one kind.

    Args:
        key: the setting that names it, for messages.
    Raises:
        DataError: there is none, or it is of no kind that is read.
    """
    where = f"{key}={path}"
    if is_folder(path, key):
        found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and not file.name.startswith("."))
        kinds = sorted({file.suffix for file in found})
        if not found:
            raise DataError(f"{where}: no table in this folder: give {KINDS}")
        if len(kinds) > 1:
            raise DataError(f"{where}: holds {kinds[0]} and {kinds[1]}: give a folder of one kind, or name the file")
        return shards(key, found)
    if not is_file(path, key):
        raise DataError(f"{where}: no such file: give {KINDS}")
    return _open_file(where, path)


def shards(key: str, files: Sequence[Path]) -> Table:
    """Several files as one table.

    Raises:
        DataError: as `open_table`.
    """
    parts = [_open_file(f"{key}={file}", file) for file in files]
    return parts[0] if len(parts) == 1 else Joined(parts)


def _open_file(where: str, path: Path) -> Table:
    if path.suffix in ARROW:
        from edgepipe.data.arrow_tables import open_arrow

        return open_arrow(where, path)
    if path.suffix in LINES:
        from edgepipe.data.line_tables import open_lines

        return open_lines(where, path)
    hint = ""
    if path.suffix == ".json":
        hint = ": write one object a line, and name it .jsonl"
    raise DataError(f"{where}: '{printable(path.suffix)}' is no kind of table that is read{hint}. Give {KINDS}")


def need(where: str, columns: Sequence[str], name: str, key: str) -> None:
    """Whether a table has a column.

    Raises:
        DataError: it has not; says which it has.
    """
    if name not in columns:
        shown = ", ".join(f"`{printable(column)}`" for column in list(columns)[:12]) or "none"
        raise DataError(f"{where}: has no column `{printable(name)}` ({key}); its columns are {shown}")


def picked(where: str, row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """Those columns of a row that was read.

    Raises:
        DataError: it lacks one.
    """
    for name in columns:
        if name not in row:
            raise DataError(f"{where}: has no `{printable(name)}`: give every row one, or leave the row out")
    return {name: row[name] for name in columns}
