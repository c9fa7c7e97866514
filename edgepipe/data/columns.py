"""The examples of a table of pictures and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.text import printable
from edgepipe.contract import Dataset, Preprocessing, Signature, Split, Tensor
from edgepipe.data import table_labels
from edgepipe.data.decode import Raw, Work, decode
from edgepipe.data.labels import task_of
from edgepipe.data.parquet import columns_of
from edgepipe.data.pictures import frame_of
from edgepipe.data.scaling import normalized
from edgepipe.data.table_source import Scanned, TableSource, scan, views_of
from edgepipe.data.tables import Table, need
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.array_source import Examples
    from edgepipe.data.parquet import ParquetData

ONLY = "input"
"""The input of data that has one."""


@dataclass
class Numbers:
    """One input made of columns of numbers.

    `kind`: numpy's name of its type; None: that of the first row, float32 or int64. `shapes`: those that rows have.
    """

    name: str
    columns: tuple[str, ...]
    kind: str | None
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def tensor(self) -> Tensor:
        axes = zip(*self.shapes, strict=True)
        shape = tuple(sizes[0] if len(set(sizes)) == 1 else f"{self.name}_{axis}" for axis, sizes in enumerate(axes))
        return Tensor(name=self.name, dtype=self.kind or "float32", shape=shape)

    def array(self, where: str, row: Mapping[str, Any]) -> NDArray[Any]:
        """What a row gives.

        Raises:
            DataError: a column holds no finite numbers, or those of a list no even shape.
        """
        parts = [_numbers(f"{where}: `{printable(name)}`", row[name]) for name in self.columns]
        if len(parts) > 1 and any(part.ndim > 1 for part in parts):
            raise DataError(
                f"{where}: input '{self.name}' joins columns of nested lists: give each an input of its own"
            )
        found = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if self.kind is None:
            self.kind = "float32" if found.dtype.kind == "f" else "int64"
        if found.dtype.kind == "f" and self.kind.startswith("int"):
            raise DataError(
                f"{where}: input '{self.name}' holds {found.ravel()[0]} where others are whole numbers: set "
                "data.dtype=float32"
            )
        return np.ascontiguousarray(found, self.kind)

    def look(self, where: str, row: Mapping[str, Any]) -> None:
        """Take notice of a row's shape.

        Raises:
            DataError: as of `array`, or it has another number of axes than others.
        """
        shape = self.array(where, row).shape
        if self.shapes and len(shape) != len(self.shapes[0]):
            raise DataError(f"{where}: input '{self.name}' has shape {shape}, and before {self.shapes[0]}")
        if shape not in self.shapes:
            self.shapes.append(shape)


@dataclass
class ColumnExamples:
    """Implements `Examples`: rows of a table, read and decoded when asked for."""

    where: str
    table: Table
    image: tuple[str, str] | None
    preprocessing: Preprocessing
    numbers: Sequence[Numbers]
    hashes: list[str]
    labels: NDArray[Any] | None

    @property
    def wanted(self) -> list[str]:
        """Columns that inputs are made of."""
        return list(dict.fromkeys([*([self.image[1]] if self.image else []), *_columns(self.numbers)]))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        about, found = self.preprocessing, [item.tensor for item in self.numbers]
        if self.image is not None:
            assert about.channels is not None and about.image_size is not None
            found.insert(0, Tensor(name=self.image[0], shape=(about.channels, *about.image_size)))
        return tuple(found)

    def read(self, row: int) -> dict[str, NDArray[Any]]:
        """One example, by input."""
        where, given = f"{self.where}: row {row}", self.table.row(row, self.wanted)
        found: dict[str, NDArray[Any]] = {}
        if self.image is not None:
            name, column = self.image
            place = f"{where}: `{printable(column)}`"
            pixels = decode(Work([place], [_picture(place, given[column])], frame_of(self.preprocessing)))
            found[name] = normalized(pixels, self.preprocessing)[0]
        return found | {item.name: item.array(where, given) for item in self.numbers}


def opened(settings: ParquetData, tables: Mapping[Split, Table], cache: Path) -> Dataset:
    """The data set of these tables.

    Raises:
        DataError: a column is missing or is none of its kind, a label is none, or splits share content.
    """
    first = next(iter(tables.values()))
    where = {split: _where(settings, split) for split in tables}
    columns = columns_of(settings)
    if not columns and settings.image is None:
        columns = {ONLY: tuple(numbers_of(first, settings.label))}
        if not columns[ONLY]:
            picture = picture_of(first)
            hint = "name columns with data.inputs" if picture is None else f"set data.image={picture}"
            raise DataError(f"{where[next(iter(tables))]}: no column of numbers: {hint}")
    kind = settings.dtype or (None if settings.inputs else "float32")
    numbers = [Numbers(name, some, kind) for name, some in columns.items()]
    image = None if settings.image is None else (settings.image if numbers else ONLY, settings.image)
    scanned: dict[Split, Scanned] = {}
    for split, table in tables.items():
        for name, key in _keys(settings, numbers).items():
            need(where[split], table.columns, name, key)
        used = [*([settings.image] if settings.image else []), *_columns(numbers)]
        scanned[split] = scan(table, used, settings.label, cache, settings, where[split])
        if numbers:
            for row, values in enumerate(table.rows(_columns(numbers))):
                for item in numbers:
                    item.look(f"{where[split]}: row {row}", values)
    classes = _classes(settings, first, scanned)
    examples: dict[Split, Examples] = {}
    for split, (hashes, raw) in scanned.items():
        labels = None
        if raw is not None and settings.label is not None:
            labels = table_labels.coded(where[split], settings.label, raw, classes)
        examples[split] = ColumnExamples(
            where[split], tables[split], image, settings.preprocessing, numbers, hashes, labels
        )
    views = views_of(settings, examples, _balanced)
    evaluation = views[Split.EVALUATION][0]
    signature = Signature(
        inputs=evaluation.tensors,
        classes=classes,
        preprocessing=settings.preprocessing,
        task=task_of(evaluation.labels),
    )
    return TableSource(views, signature)


def numbers_of(table: Table, label: str | None) -> list[str]:
    """Columns whose first row is a number, or a list of them, but for the label."""
    row = table.row(0, list(table.columns))
    return [name for name in table.columns if name != label and _holds_numbers(row[name])]


def picture_of(table: Table) -> str | None:
    """The first column whose first row is an encoded picture."""
    row = table.row(0, list(table.columns))
    return next((name for name in table.columns if _encoded(row[name]) is not None), None)


def _encoded(value: Any) -> bytes | None:
    content = value.get("bytes") if isinstance(value, Mapping) else value
    return bytes(content) if isinstance(content, (bytes, bytearray)) else None


def _picture(where: str, value: Any) -> Raw:
    """Encoded bytes, or uint8 pixels of nested lists."""
    content = _encoded(value)
    if content is not None:
        return content
    if isinstance(value, Mapping) and isinstance(value.get("path"), str):
        raise DataError(
            f"{where}: names the file {printable(value['path'])[:80]} and holds no bytes: a table may not choose files "
            "to be read. Embed them: dataset.map(...) with embed_table_storage, or use data=image_folder"
        )
    if isinstance(value, list):
        pixels = _numbers(where, value)
        form = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
        if form and pixels.dtype.kind == "i" and pixels.min() >= 0 and pixels.max() <= 255:
            return pixels.astype(np.uint8)
        raise DataError(f"{where}: is no picture: give encoded bytes, or (height, width, 3) whole numbers up to 255")
    raise DataError(f"{where}: holds {type(value).__name__}, and encoded pictures are wanted: see data.image")


def _holds_numbers(value: Any) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    try:
        return not isinstance(value, (list, bytes, Mapping)) and value is not None and np.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _numbers(where: str, value: Any) -> NDArray[Any]:
    """Whole numbers or finite ones, at least one axis; of a text that is a number, too, as in CSV."""
    try:
        if isinstance(value, str):
            value = int(value) if value.strip().lstrip("+-").isdigit() else float(value)
        found = np.atleast_1d(np.asarray(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{where}: holds {printable(repr(value))[:40]}, which is no number or even list: {error}"
        ) from None
    if found.dtype.kind == "b":
        found = found.astype(np.int64)
    if found.dtype.kind not in "iuf" or not found.size:
        raise DataError(f"{where}: holds {printable(repr(value))[:40]}, and numbers are wanted: leave the column out")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise DataError(f"{where}: holds NaN or infinity: fill it or leave the row out")
    return found


def _columns(numbers: Sequence[Numbers]) -> list[str]:
    return list(dict.fromkeys(column for item in numbers for column in item.columns))


def _keys(settings: ParquetData, numbers: Sequence[Numbers]) -> dict[str, str]:
    """Column to the setting that names it."""
    found = {column: f"data.inputs.{item.name}" for item in numbers for column in item.columns}
    if settings.image is not None:
        found[settings.image] = "data.image"
    if settings.label is not None:
        found[settings.label] = "data.label"
    return found


def _where(settings: ParquetData, split: Split) -> str:
    place = getattr(settings, str(split), None)
    return f"data.root={settings.root}: {split}" if place is None else f"data.{split}={place}"


def _balanced(examples: Examples) -> NDArray[np.int64] | None:
    """Classes that draws keep in proportion."""
    labels = examples.labels
    return labels if labels is not None and labels.dtype.kind == "i" and labels.ndim == 1 else None


def _classes(settings: ParquetData, first: Table, scanned: Mapping[Split, Scanned]) -> tuple[str, ...]:
    if settings.label is None:
        return ()
    if settings.classes is not None:
        return settings.classes
    if found := first.classes(settings.label):
        return found
    return table_labels.names_of(value for each in scanned.values() for value in each.labels or ()) or ()
