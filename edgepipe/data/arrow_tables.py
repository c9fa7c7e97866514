"""Parquet and Arrow files, by pyarrow: a group of rows at a time."""

from __future__ import annotations

import bisect
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepipe.data.tables import need
from edgepipe.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

MOST_GROUP = 2 << 30
"""Bytes of a group of rows, unpacked: it is read at once."""
_HELD = 256 << 20
"""Bytes of groups that are kept, so that rows in another order need not be unpacked each."""
_AT_ONCE = 64
"""Rows that are made Python objects at once."""


class ParquetTable:
    """One Parquet file."""

    def __init__(self, where: str, path: Path) -> None:
        from pyarrow import parquet

        self._where, self._path = where, path
        self._file = parquet.ParquetFile(str(path))
        about = self._file.metadata
        groups = [about.row_group(number) for number in range(about.num_row_groups)]
        large = max((group.total_byte_size for group in groups), default=0)
        if large > MOST_GROUP:
            raise DataError(
                f"{where}: a group of its rows has {large:,} bytes, and one is read at once: write it with smaller "
                "groups (row_group_size=1000)"
            )
        self._ends = list(accumulate(group.num_rows for group in groups))
        self._held: OrderedDict[tuple[int, tuple[str, ...]], pa.Table] = OrderedDict()
        self._schema = self._file.schema_arrow

    @property
    def columns(self) -> Sequence[str]:
        return list(self._schema.names)

    @property
    def files(self) -> Sequence[Path]:
        return [self._path]

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def row(self, number: int, columns: Sequence[str]) -> dict[str, Any]:
        group = bisect.bisect_right(self._ends, number)
        start = self._ends[group - 1] if group else 0
        found = self._group(group, tuple(columns)).slice(number - start, 1).to_pylist()
        if not found:
            raise DataError(f"{self._where}: has no row {number}: it changed since the run began")
        return dict(found[0])

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        try:
            for batch in self._file.iter_batches(_AT_ONCE, columns=list(columns)):
                yield from batch.to_pylist()
        except (OSError, ValueError) as error:
            raise DataError(f"{self._where}: cannot be read: {_first_line(error)}") from error

    def classes(self, column: str) -> tuple[str, ...]:
        return named_classes(self._schema.metadata, column)

    def _group(self, group: int, columns: tuple[str, ...]) -> pa.Table:
        key = (group, columns)
        if key not in self._held:
            for name in columns:
                need(self._where, self.columns, name, "asked for")
            try:
                self._held[key] = self._file.read_row_group(group, columns=list(columns))
            except (OSError, ValueError) as error:
                raise DataError(f"{self._where}: cannot be read: {_first_line(error)}") from error
            while len(self._held) > 1 and sum(table.nbytes for table in self._held.values()) > _HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return self._held[key]


class ArrowTable:
    """One Arrow file (IPC, stream or file), mapped and not read into memory: as the `datasets` library saves."""

    def __init__(self, where: str, path: Path) -> None:
        import pyarrow as pa

        self._where, self._path = where, path
        source = pa.memory_map(str(path))
        try:
            self._table = pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            self._table = pa.ipc.open_stream(source).read_all()

    @property
    def columns(self) -> Sequence[str]:
        return list(self._table.schema.names)

    @property
    def files(self) -> Sequence[Path]:
        return [self._path]

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def row(self, number: int, columns: Sequence[str]) -> dict[str, Any]:
        return dict(self._table.select(list(columns)).slice(number, 1).to_pylist()[0])

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        for batch in self._table.select(list(columns)).to_batches(max_chunksize=_AT_ONCE):
            yield from batch.to_pylist()

    def classes(self, column: str) -> tuple[str, ...]:
        return named_classes(self._table.schema.metadata, column)


def open_arrow(where: str, path: Path) -> ParquetTable | ArrowTable:
    """Open a file by its suffix.

    Raises:
        DataError: pyarrow is not installed, or the file is none of its kind or empty.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise DataError(f"{where}: reading it needs pyarrow: pip install 'edgepipe[text]'") from None
    try:
        table = ParquetTable(where, path) if path.suffix == ".parquet" else ArrowTable(where, path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{where}: not a readable {path.suffix} file: {_first_line(error)}") from None
    if not len(table):
        raise DataError(f"{where}: holds no rows")
    return table


def named_classes(metadata: Mapping[bytes, bytes] | None, column: str) -> tuple[str, ...]:
    """Names of classes as the `datasets` library writes them into a schema; empty: none, or not readable."""
    try:
        about = json.loads((metadata or {})[b"huggingface"])["info"]["features"][column]
        while "names" not in about:
            about = about["feature"]
        return tuple(str(name) for name in about["names"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
