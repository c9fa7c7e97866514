"""A table of what is heard when: CSV or TSV of file, start, end and label, in seconds. Untrusted."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.text import printable
from edgepipe.data.label_files import path_of
from edgepipe.errors import DataError

NOTHING = "none"
"""The class of what no segment covers; the first."""


class Segment(NamedTuple):
    """Seconds from `start` to `end` of a recording, and what is heard there."""

    start: float
    end: float
    label: str


def read_segments(where: str, content: bytes, folder: str, recordings: Mapping[str, str]) -> dict[str, list[Segment]]:
    """Segments by the paths of recordings; without a column `label` all are "yes".

    Args:
        where: names the file in messages; folder: that it lies in; recordings: by path, all that there are.
    Raises:
        DataError: a line cannot be read, or names no recording; says which.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{where}: not UTF-8 text: save it as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if "\t" in text.partition("\n")[0] else ",")
    found: dict[str, list[Segment]] = {}
    columns: list[int] | None = None
    try:
        for row in reader:
            at = f"{where}: line {reader.line_num}"
            if not row:
                continue
            if columns is None:
                columns = _columns(at, [cell.strip().lower() for cell in row])
                continue
            if len(row) <= max(columns):
                raise DataError(f"{at}: {len(row)} columns, and {max(columns) + 1} are wanted")
            name, start, end, *label = (row[column].strip() for column in columns)
            first, last = _seconds(at, start), _seconds(at, end)
            if not 0 <= first <= last:
                raise DataError(f"{at}: from {start} to {end} s: a segment ends behind its start")
            told = label[0] if label else "yes"
            if told == NOTHING or not told:
                raise DataError(f"{at}: label '{told}': leave out what is nothing")
            found.setdefault(path_of(at, name, folder, recordings), []).append(Segment(first, last, told))
    except csv.Error as error:
        raise DataError(f"{where}: line {reader.line_num}: not readable as CSV: {error}") from None
    if not found:
        raise DataError(f"{where}: holds no segment: write file,start,end,label and a line for each")
    return found


def _columns(at: str, heads: Sequence[str]) -> list[int]:
    lacking = [name for name in ("file", "start", "end") if name not in heads]
    if lacking:
        raise DataError(
            f"{at}: no column '{lacking[0]}' in {printable(', '.join(heads))[:200]}: the first line names file, start, "
            "end and label"
        )
    return [heads.index(name) for name in ("file", "start", "end", "label") if name in heads]


def _seconds(at: str, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise DataError(f"{at}: '{printable(text[:40])}' are no seconds")
    return found


def labels_of(segments: Sequence[Segment], spans: NDArray[np.float64], classes: Sequence[str]) -> NDArray[np.int64]:
    """(n,): the class that covers most of each span, if that is at least half; else 0, nothing.

    Args:
        spans: (n, 2), seconds.
        classes: names; the first is that of nothing.
    """
    covered = np.zeros((len(classes), len(spans)))
    for segment in segments:
        inside = np.minimum(spans[:, 1], segment.end) - np.maximum(spans[:, 0], segment.start)
        covered[classes.index(segment.label)] += np.maximum(0.0, inside)
    best = covered.argmax(axis=0)
    enough = covered.max(axis=0) >= 0.5 * (spans[:, 1] - spans[:, 0]) - 1e-9
    return np.where(enough, best, 0).astype(np.int64)
