"""A data set from tables: rows are hashed once, split so that no content is in two, and read as they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.text import printable
from edgepipe.contract import Signature, Split
from edgepipe.contract.artifact import canonical_json
from edgepipe.data.array_source import ArraySource, Examples
from edgepipe.data.hashes import cache_file, recall, remember, stamp
from edgepipe.data.splits import Rows, hold_out, stratified_order, without_overlap
from edgepipe.data.tables import Table
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.table_settings import TableSettings

DRAWN_FROM_TRAIN = 200


class Draws(Protocol):
    """Settings of what is drawn and held out."""

    @property
    def evaluation_share(self) -> float: ...
    @property
    def evaluation_size(self) -> int | None: ...
    @property
    def calibration_size(self) -> int | None: ...
    @property
    def seed(self) -> int: ...
    @property
    def on_overlap(self) -> str: ...


class Scanned(NamedTuple):
    """What one pass over a table finds: a hash of each row's inputs, and the raw labels (None: no column of labels)."""

    hashes: list[str]
    labels: list[Any] | None


def scan(
    table: Table, columns: Sequence[str], label: str | None, cache: Path, settings: TableSettings, where: str
) -> Scanned:
    """Hash all rows, or recall the hashes of a file that is as it was.

    Args:
        columns: what an example is made of; equal values are one content.
        where: the setting that names the table, for messages.
    Raises:
        DataError: a row lacks a column.
    """
    memory = cache_file(cache, "table", table.files[0]) if table.files else None
    about: dict[str, Any] = {
        "stamps": {str(file): stamp(file) for file in table.files},
        "wanted": [list(columns), label],
    }
    known = recall(memory) if memory is not None and settings.digest == "stat" else None
    if isinstance(known, dict) and all(known.get(name) == value for name, value in about.items()):
        return Scanned(known["hashes"], known["labels"])
    hashes: list[str] = []
    labels: list[Any] = []
    wanted = list(dict.fromkeys([*columns, *([label] if label else [])]))
    for number, row in enumerate(table.rows(wanted)):
        for name in columns:
            if row[name] is None:
                raise DataError(f"{where}: row {number}: `{printable(name)}` is empty: fill it or leave the row out")
        hashes.append(hashed([row[name] for name in columns]))
        if label:
            labels.append(row[label])
    found = Scanned(hashes, labels if label else None)
    if memory is not None:
        remember(memory, {**about, "hashes": found.hashes, "labels": found.labels})
    return found


def hashed(values: Sequence[Any]) -> str:
    """Hex SHA-256 of the values of a row."""
    digest = hashlib.sha256()
    for value in values:
        content = value if isinstance(value, bytes) else _bytes(value)
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
        return bytes(value["bytes"])  # a picture or sound of the `datasets` library; its path is no content
    return canonical_json(value).encode()


class TableSource(ArraySource):
    """Implements `Dataset` over tables.

    Attributes:
        notes: sentences on what was left out or guessed.
        files: what the device needs beside the model, by name in the bundle.
    """

    def __init__(
        self,
        views: Mapping[Split, tuple[Examples, Rows]],
        signature: Signature,
        files: Mapping[str, bytes] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__(views)
        self._signature = signature
        self.files, self.notes = dict(files or {}), tuple(notes)


def views_of(
    settings: Draws, opened: Mapping[Split, Examples], classes: Callable[[Examples], NDArray[np.int64] | None]
) -> dict[Split, tuple[Examples, Rows]]:
    """Which rows of which table belong to a split; no content is both in evaluation and elsewhere.

    Args:
        classes: labels that draws keep in proportion, or None.
    Raises:
        DataError: they overlap and `on_overlap` is "error"; or fewer than are to be drawn.
    """

    def draw(split: Split, examples: Examples, rows: Rows, size: int | None) -> Rows:
        if size is None or (size == len(rows) and split is not Split.CALIBRATION):
            return rows
        if size > len(rows):
            raise DataError(f"data.{split}_size={size}, but there are {len(rows)} examples to draw from: lower it")
        known = classes(examples)
        order = stratified_order(
            [examples.hashes[row] for row in rows], None if known is None else known[rows], settings.seed
        )
        return np.sort(rows[order[:size]])

    views: dict[Split, tuple[Examples, Rows]] = {}
    train = opened.get(Split.TRAIN)
    if Split.EVALUATION in opened:
        evaluation = opened[Split.EVALUATION]
        held = np.arange(len(evaluation.hashes))
        rest = None
    else:
        assert train is not None
        evaluation = train
        count = max(1, round(settings.evaluation_share * len(train.hashes)))
        known = classes(train)
        rest, held = hold_out(
            train.hashes, np.zeros(len(train.hashes), np.int64) if known is None else known, settings.seed, count
        )
    views[Split.EVALUATION] = (evaluation, draw(Split.EVALUATION, evaluation, held, settings.evaluation_size))
    measured = [evaluation.hashes[row] for row in held]
    for split in (Split.TRAIN, Split.CALIBRATION):
        examples = opened.get(split)
        if examples is None:
            continue
        rows = np.arange(len(examples.hashes)) if rest is None or split is not Split.TRAIN else rest
        kept = without_overlap(
            f"data.{split}",
            ([f"{split}[{row}]" for row in rows], [examples.hashes[row] for row in rows]),
            ([f"evaluation[{row}]" for row in held], measured),
            settings.on_overlap,
            f"Remove them, or set data.on_overlap=drop to leave them out of {split}",
        )
        views[split] = (examples, rows[kept])
    if Split.CALIBRATION in views:
        examples, rows = views[Split.CALIBRATION]
        views[Split.CALIBRATION] = (examples, draw(Split.CALIBRATION, examples, rows, settings.calibration_size))
    elif Split.TRAIN in views:
        examples, rows = views[Split.TRAIN]
        size = settings.calibration_size or min(DRAWN_FROM_TRAIN, len(rows))
        views[Split.CALIBRATION] = (examples, draw(Split.CALIBRATION, examples, rows, size))
    return views
