"""The examples of a table of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.text import printable
from edgepipe.contract import Dataset, Signature, Split, Tensor
from edgepipe.data import table_labels
from edgepipe.data.labels import task_of
from edgepipe.data.table_source import Scanned, TableSource, scan, views_of
from edgepipe.data.tables import Table, need
from edgepipe.data.text import checked_text
from edgepipe.data.tokens import FILE, IGNORED, Tokens, open_tokens
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.array_source import Examples
    from edgepipe.data.text import TextData

TAGGING = "tokens"
"""The task of tags."""


class Column(NamedTuple):
    """Which columns are read; `tags`: the labels are lists with one for each word."""

    text: str
    pair: str | None
    label: str | None
    tags: bool


@dataclass
class TextExamples:
    """Implements `Examples`: rows of a table, made numbers when read.

    `raw`: tags as numbers, a list for each row. They are laid on tokens when they are first asked for, as int64
    (rows, max_length) of small numbers.
    """

    where: str
    table: Table
    tokens: Tokens
    column: Column
    hashes: list[str]
    values: NDArray[Any] | None
    raw: list[list[int]] | None = None
    _tags: NDArray[Any] | None = field(default=None, repr=False)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.tokens.tensors

    @property
    def labels(self) -> NDArray[Any] | None:
        if self.raw is None:
            return self.values
        if self._tags is None:
            self._tags = self._laid_on_tokens(self.raw)
        return self._tags

    def read(self, row: int) -> dict[str, NDArray[Any]]:
        """One example, by input."""
        names = [self.column.text, *([self.column.pair] if self.column.pair else [])]
        return self.tokens.encode(*self._texts(row, self.table.row(row, names))).arrays

    def _texts(self, number: int, row: Mapping[str, Any]) -> list[Any]:
        words = self.tokens.text.words
        names = [self.column.text, *([self.column.pair] if self.column.pair else [])]
        return [
            checked_text(f"{self.where}: row {number}: `{printable(name)}`", row[name], words=words) for name in names
        ]

    def _laid_on_tokens(self, raw: list[list[int]]) -> NDArray[np.int64]:
        """A word's tag stands at its first token, `IGNORED` everywhere else."""
        found = np.full((len(raw), self.tokens.text.max_length), IGNORED, np.int64)
        for number, row in enumerate(self.table.rows([self.column.text])):
            text = self._texts(number, row)[0]
            if len(text) != len(raw[number]):
                raise DataError(
                    f"{self.where}: row {number}: {len(raw[number])} tags for {len(text)} words: give each word one"
                )
            words = self.tokens.encode(text).words
            for place in np.flatnonzero(words >= 0):
                found[number, place] = raw[number][words[place]]
        return found


def opened(settings: TextData, tables: Mapping[Split, Table], column: Column, cache: Path) -> Dataset:
    """The data set of these tables.

    Raises:
        DataError: a column is missing, a label is none, or splits share content.
    """
    scanned: dict[Split, Scanned] = {}
    for split, table in tables.items():
        where = _where(settings, split)
        names = [column.text, *([column.pair] if column.pair else [])]
        keys = {
            column.text: "data.text",
            column.pair: "data.pair",
            column.label: "data.tags" if column.tags else "data.label",
        }
        for name in filter(None, (*names, column.label)):
            need(where, table.columns, name, keys[name])
        scanned[split] = scan(table, names, column.label, cache, settings, where)
    first = next(iter(tables.values()))
    words = column.tags or not isinstance(first.row(0, [column.text])[column.text], str)
    tokens = open_tokens(
        settings.tokenizer,
        settings.parts(pair=column.pair is not None),
        max_length=settings.max_length,
        padding=settings.padding,
        dtype=settings.dtype,
        words=words,
    )
    classes = _classes(settings, tables, scanned, column)
    examples: dict[Split, Examples] = {}
    for split, (hashes, labels) in scanned.items():
        where, values, raw = _where(settings, split), None, None
        if labels is not None and column.tags:
            raw = _tags(where, labels, classes)
        elif labels is not None and column.label is not None:
            values = table_labels.coded(where, column.label, labels, classes)
        examples[split] = TextExamples(where, tables[split], tokens, column, hashes, values, raw)
    views = views_of(settings, examples, _balanced)
    evaluation = views[Split.EVALUATION][0]
    signature = Signature(
        inputs=tokens.tensors,
        classes=classes,
        text=tokens.text,
        task=TAGGING if column.tags else task_of(evaluation.labels),
    )
    return TableSource(views, signature, {FILE: tokens.content})


def _where(settings: TextData, split: Split) -> str:
    """As messages name the table of a split."""
    place = getattr(settings, str(split), None)
    return f"data.root={settings.root}: {split}" if place is None else f"data.{split}={place}"


def _balanced(examples: Examples) -> NDArray[np.int64] | None:
    """Classes that draws keep in proportion; of tags there are none."""
    values = getattr(examples, "values", None)
    return values if values is not None and values.dtype.kind == "i" and values.ndim == 1 else None


def _classes(
    settings: TextData, tables: Mapping[Split, Table], scanned: Mapping[Split, Scanned], column: Column
) -> tuple[str, ...]:
    if column.label is None:
        return ()
    if settings.classes is not None:
        return settings.classes
    if found := next(iter(tables.values())).classes(column.label):
        return found
    raw = (value for each in scanned.values() for value in each.labels or ())
    if column.tags:
        raw = (item for row, value in enumerate(raw) for item in _list("data.tags", row, value))
    return table_labels.names_of(raw) or ()


def _tags(where: str, labels: list[Any], classes: tuple[str, ...]) -> list[list[int]]:
    index = {name: number for number, name in enumerate(classes)}
    return [
        [
            table_labels.one(f"{where}: row {row}: tag {place}", item, index)
            for place, item in enumerate(_list(where, row, value))
        ]
        for row, value in enumerate(labels)
    ]


def _list(where: str, row: int, value: Any) -> list[Any]:
    if isinstance(value, str):
        return value.split()
    if not isinstance(value, list):
        raise DataError(f"{where}: row {row}: its tags are {type(value).__name__}: give a list, one for each word")
    return value
