"""Tables of text: JSON lines, CSV, TSV, and a text a line. Only where each row begins stays in memory."""

from __future__ import annotations

import csv
import io
import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from edgepipe.base.text import printable
from edgepipe.data.tables import picked
from edgepipe.errors import DataError

MOST_ROW = 16 << 20
"""Bytes of one row; more is no text that a network reads."""
TEXT = "text"
"""The one column of a .txt file."""


@dataclass(frozen=True)
class Lines:
    """A file of rows. `starts`: offsets of the rows, and of the end; `parse`: bytes of a row to its values."""

    where: str
    path: Path
    columns: Sequence[str]
    starts: array[int]
    numbers: array[int]
    parse: Callable[[bytes], dict[str, Any]]

    @property
    def files(self) -> Sequence[Path]:
        return [self.path]

    def __len__(self) -> int:
        return len(self.numbers)

    def row(self, number: int, columns: Sequence[str]) -> dict[str, Any]:
        try:
            with self.path.open("rb") as stream:
                return self._read(stream, number, columns)
        except OSError as error:
            raise DataError(f"{self.where}: {error.strerror}: it was readable when the run began") from error

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as stream:
            for number in range(len(self)):
                yield self._read(stream, number, columns)

    def classes(self, column: str) -> tuple[str, ...]:
        del column
        return ()

    def _read(self, stream: BinaryIO, number: int, columns: Sequence[str]) -> dict[str, Any]:
        stream.seek(self.starts[2 * number])
        where = f"{self.where}: line {self.numbers[number]}"
        try:
            return picked(
                where, self.parse(stream.read(self.starts[2 * number + 1] - self.starts[2 * number])), columns
            )
        except (ValueError, csv.Error, RecursionError) as error:
            raise DataError(f"{where}: {_said(error)}") from None


def open_lines(where: str, path: Path) -> Lines:
    """Find the rows of a file.

    Raises:
        DataError: it is empty, no UTF-8, or a row of it is too long.
    """
    csv.field_size_limit(MOST_ROW)
    starts, numbers = array("q"), array("q")
    kind = path.suffix
    try:
        with path.open("rb") as stream:
            if stream.read(3) != b"\xef\xbb\xbf":  # the mark that some editors put in front
                stream.seek(0)
            columns, parse, found = _opened(where, kind, stream)
            for start, end, number in found:
                starts.extend((start, end))
                numbers.append(number)
    except OSError as error:
        raise DataError(f"{where}: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"{where}: {_said(error)}") from None
    if not numbers:
        raise DataError(f"{where}: holds no rows")
    table = Lines(where, path, columns, starts, numbers, parse)
    if not columns:  # of JSON, the first row names them
        with path.open("rb") as stream:
            first = list(_parsed(table, stream))
        return Lines(where, path, first, starts, numbers, parse)
    return table


_Found = Iterator[tuple[int, int, int]]
_Opened = tuple[Sequence[str], Callable[[bytes], dict[str, Any]], _Found]


def _opened(where: str, kind: str, stream: BinaryIO) -> _Opened:
    """Columns, how a row is read, and where rows begin and end, with the number of their line."""
    if kind == ".txt":
        return (TEXT,), lambda row: {TEXT: row.decode().strip("\r\n")}, _plain(where, stream)
    if kind not in (".csv", ".tsv"):
        return (), _json, _plain(where, stream)
    header = stream.readline(MOST_ROW).decode()
    delimiter = "\t" if kind == ".tsv" else max(",;\t", key=header.count)
    columns = next(csv.reader([header], delimiter=delimiter, strict=True), [])
    if not columns or len(set(columns)) < len(columns):
        raise DataError(f"{where}: its first line names no columns, or one twice: {printable(header.strip()[:80])!r}")

    def parse(row: bytes) -> dict[str, Any]:
        values = next(csv.reader(io.StringIO(row.decode(), newline=""), delimiter=delimiter, strict=True))
        if len(values) != len(columns):
            raise ValueError(f"{len(values)} values, but {len(columns)} columns: quote values that hold '{delimiter}'")
        return dict(zip(columns, values, strict=True))

    return columns, parse, _records(where, stream, delimiter)


def _plain(where: str, stream: BinaryIO) -> _Found:
    number = 0
    while line := stream.readline(MOST_ROW + 1):
        number += 1
        if len(line) > MOST_ROW:
            raise DataError(f"{where}: line {number} is longer than {MOST_ROW >> 20} MB: give one row a line")
        if line.strip():
            yield stream.tell() - len(line), stream.tell(), number


def _records(where: str, stream: BinaryIO, delimiter: str) -> _Found:
    """Of CSV: a row may have line breaks within quotes."""
    at = {"line": 1}

    def lines() -> Iterator[str]:
        while line := stream.readline(MOST_ROW + 1):
            at["line"] += 1
            if len(line) > MOST_ROW:
                raise DataError(f"{where}: line {at['line']} is longer than {MOST_ROW >> 20} MB")
            yield line.decode()

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    start, number = stream.tell(), at["line"] + 1
    try:
        for values in reader:
            if stream.tell() - start > MOST_ROW:
                raise DataError(f"{where}: line {number}: a row of more than {MOST_ROW >> 20} MB: is a quote open?")
            if values:
                yield start, stream.tell(), number
            start, number = stream.tell(), at["line"] + 1
    except csv.Error as error:
        raise DataError(f"{where}: line {number}: {error}: is a quote open?") from None


def _json(row: bytes) -> dict[str, Any]:
    found = json.loads(row)
    if not isinstance(found, dict):
        raise ValueError('no object: write {"text": ...} in each line')
    return found


def _parsed(table: Lines, stream: BinaryIO) -> dict[str, Any]:
    stream.seek(table.starts[0])
    try:
        return table.parse(stream.read(table.starts[1] - table.starts[0]))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{table.where}: line {table.numbers[0]}: {_said(error)}") from None


def _said(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8: save it as UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg}): write one object a line"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return printable(str(error))
