"""What is right of each of a loader's examples, gathered as a task takes it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.data.labels import checked
from edgepipe.errors import DataError

_BOX = 6
"""Values of a box: x1, y1, x2, y2, class, ignored."""
_NO_CLASS = -1


class Gathered:
    """Labels in the order of their examples.

    Numbers, texts and boxes stay in memory; pictures and masks go to a temporary file, which is mapped.
    """

    def __init__(self, where: str, folder: Path) -> None:
        self._where, self._folder = where, folder
        self._held: list[NDArray[Any] | str] = []
        self._file: IO[bytes] | None = None
        self._form: tuple[np.dtype[Any], tuple[int, ...]] | None = None
        self._count = 0

    def add(self, label: NDArray[Any] | str | None) -> None:
        """One more.

        Raises:
            DataError: it is of another form than the first.
        """
        if label is None:
            return
        if isinstance(label, str) or label.ndim < 2 or (label.ndim == 2 and label.shape[1] == _BOX):
            if self._file is not None or (self._held and np.ndim(self._held[0]) != np.ndim(label)):
                raise DataError(f"{self._where}[{self._count}]: its label has another number of axes than the first")
            if self._held and isinstance(self._held[0], str) != isinstance(label, str):
                raise DataError(f"{self._where}[{self._count}]: its label is a text or none, unlike the first")
            self._held.append(label)
        else:
            self._append(label.astype(_kept(label.dtype), copy=False))
        self._count += 1

    def _append(self, label: NDArray[Any]) -> None:
        form = label.dtype, label.shape
        if self._held or form != (self._form or form):
            first = self._form or (self._held[0].dtype if isinstance(self._held[0], np.ndarray) else "str",)
            raise DataError(
                f"{self._where}[{self._count}]: its label is {label.dtype} {label.shape}, and the first "
                f"{' '.join(map(str, first))}: give all examples labels of one type and shape"
            )
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._form, self._file = form, tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (mapped later)
        self._file.write(np.ascontiguousarray(label).data)

    def all(self) -> NDArray[Any] | None:
        """As `Batch.labels`; None where there are none.

        Raises:
            DataError: they are of different shapes, or no labels.
        """
        if self._file is not None and self._form is not None:
            self._file.flush()
            kind, shape = self._form
            return np.memmap(self._file, kind, "r", shape=(self._count, *shape))
        if not self._held:
            return None
        if isinstance(self._held[0], str):
            return np.array(self._held)
        held = [label for label in self._held if isinstance(label, np.ndarray)]
        if held[0].ndim == 2:
            return _boxes(held)
        shapes = {label.shape for label in held}
        if len(shapes) > 1:
            one, other = sorted(shapes)[:2]
            raise DataError(
                f"{self._where}: labels have shapes {one} and {other}: fill the shorter ones up, as with -100 for "
                "tokens"
            )
        return checked(self._where, "labels", np.stack(held), len(held))


def _kept(kind: np.dtype[Any]) -> type[Any]:
    """Type of pictures and masks: of those that tasks take the one that holds it."""
    if kind.kind == "f":
        return np.float32
    return np.uint8 if kind == np.uint8 or kind.kind == "b" else np.int64


def _boxes(held: list[NDArray[Any]]) -> NDArray[np.float32]:
    """float32, (n, most, 6): rows of class -1 where an example has fewer."""
    found = np.zeros((len(held), max(len(label) for label in held), _BOX), np.float32)
    found[..., 4] = _NO_CLASS
    for row, label in enumerate(held):
        found[row, : len(label)] = label
    return found
