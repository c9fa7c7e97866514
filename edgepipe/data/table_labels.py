"""What a column of labels means: names or numbers of classes, several classes, or numbers to find."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.text import printable
from edgepipe.errors import DataError

MOST_CLASSES = 100_000


class Labels(NamedTuple):
    """Labels as a task takes them, and the names of classes."""

    values: NDArray[Any]
    classes: tuple[str, ...]


def _number(value: Any) -> Any:
    """An integer or a float, of a text that is one, too; else None."""
    if isinstance(value, (bool, int, float)):
        return int(value) if isinstance(value, bool) else value
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
    return None


def names_of(raw: Iterable[Any]) -> tuple[str, ...] | None:
    """Sorted names where labels are texts (or lists of them) that are no numbers; None: they are numbers."""
    flat: set[Any] = set()
    for value in raw:
        flat.update(value if isinstance(value, list) else [value])
    if all(_number(value) is not None for value in flat):
        return None
    return tuple(sorted({str(value) for value in flat if value is not None}))


def coded(where: str, column: str, raw: Sequence[Any], classes: Sequence[str]) -> NDArray[Any]:
    """Labels of a split: int64 (n,) of classes, int64 (n, classes) of several of each, float32 (n, 1) of numbers.

    Args:
        where: names the table in messages.
        classes: names in the model's order; empty: the labels are numbers.
    Raises:
        DataError: a label is missing, of another kind than the rest, or none of the classes.
    """
    for row, value in enumerate(raw):
        if value is None or value == "":
            raise DataError(f"{where}: row {row}: `{printable(column)}` is empty: fill it or leave the row out")
    if raw and isinstance(raw[0], list):
        return _several(where, column, raw, classes)
    index = {name: number for number, name in enumerate(classes)}
    numbers = [_number(value) for value in raw]
    if any(isinstance(value, float) for value in numbers) and all(value is not None for value in numbers):
        if classes:
            raise DataError(f"{where}: `{printable(column)}` holds numbers with a fraction, which are no classes")
        found = np.asarray(numbers, np.float32).reshape(-1, 1)
        if not np.isfinite(found).all():
            raise DataError(f"{where}: `{printable(column)}` holds NaN or infinity: leave those rows out")
        return found
    out = np.empty(len(raw), np.int64)
    for row, value in enumerate(raw):
        out[row] = one(f"{where}: row {row}: `{printable(column)}`", value, index)
    return out


def one(where: str, value: Any, index: dict[str, int]) -> int:
    """The number of a class, by its name or number."""
    if isinstance(value, str) and value in index:
        return index[value]
    number = _number(value)
    if not isinstance(number, int):
        shown = ", ".join(map(printable, list(index)[:8])) or "numbers"
        raise DataError(f"{where} is {printable(repr(value))[:60]}, none of the classes ({shown}): see data.classes")
    most = len(index) or MOST_CLASSES
    if not 0 <= number < most:
        raise DataError(f"{where} is {number}: classes count from 0 to {most - 1}")
    return number


def _several(where: str, column: str, raw: Sequence[Any], classes: Sequence[str]) -> NDArray[np.int64]:
    """Lists of classes as rows of 0 and 1, (n, classes)."""
    index = {name: number for number, name in enumerate(classes)}
    count = len(classes)
    if not count:
        numbers = [number for value in raw for number in value if isinstance(number, int)]
        count = max(numbers, default=0) + 1
        if count > MOST_CLASSES:
            raise DataError(f"{where}: `{printable(column)}` names class {count - 1}: at most {MOST_CLASSES}")
    out = np.zeros((len(raw), count), np.int64)
    for row, value in enumerate(raw):
        if not isinstance(value, list):
            raise DataError(f"{where}: row {row}: `{printable(column)}` is no list, as in other rows")
        for item in value:
            number = one(f"{where}: row {row}: `{printable(column)}`", item, index)
            out[row, number if number < count else count - 1] = 1
    return out
