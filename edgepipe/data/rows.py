"""Rows of equal length in a file, read one by one.

Not mapped into memory: mapped pages would count as this process's memory, which must not grow with the data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from edgepipe.errors import DataError


@dataclass
class RowFile:
    """`row_bytes` bytes per row, the first row at `offset`; the file is opened when it is first read."""

    path: Path
    offset: int
    row_bytes: int
    _stream: BinaryIO | None = field(default=None, repr=False)

    def read(self, row: int) -> bytes:
        """The bytes of one row.

        Raises:
            DataError: the file is gone, or shorter than it was.
        """
        try:
            if self._stream is None:
                self._stream = self.path.open("rb")
            self._stream.seek(self.offset + row * self.row_bytes)
            found = self._stream.read(self.row_bytes)
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror}: it was readable when the run began") from error
        if len(found) != self.row_bytes:
            raise DataError(f"{self.path}: ends before example {row}: it changed since the run began")
        return found

    def __del__(self) -> None:
        if self._stream is not None:
            self._stream.close()
