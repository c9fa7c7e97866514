"""Pictures kept as the bytes that they were decoded to: a quarter of their floats, which come out the same to the bit.

A small JPEG takes longer to decode than a small network to answer, and training reads every one again in each epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import psutil
from numpy.typing import NDArray

from edgepipe.contract import Dataset, Signature, Split
from edgepipe.data.scaling import every_byte, is_picture, pixels_of

_MOST_BYTES = 1024**3
_MOST_SHARE = 0.25
"""Of the memory that is free."""


class Pixels:
    """A split of pictures that are decoded when they are first read, and kept as uint8 (channels, height, width).

    What is no scaled and normalized byte, to the last bit, is read from the source each time.
    """

    def __init__(self, data: Dataset, split: Split, signature: Signature) -> None:
        self._data, self._split = data, split
        self._about = signature.preprocessing
        self._values = every_byte(self._about)
        # The system hands out memory page by page as it is written, so what is never read costs nothing.
        self._bytes = np.empty((data.count(split), *signature.input_shape), np.uint8)
        self._known = np.zeros(len(self._bytes), bool)

    @classmethod
    def of(cls, data: Dataset, split: Split, signature: Signature) -> Pixels | None:
        """None if the split is too large, or its examples are no pictures."""
        shape = signature.input_shape
        if not is_picture(shape, signature.preprocessing):
            return None
        size = data.count(split) * int(np.prod(shape))
        return cls(data, split, signature) if size <= min(_MOST_BYTES, _MOST_SHARE * _free()) else None

    def batches(self, order: Sequence[int], size: int) -> Iterator[NDArray[np.float32]]:
        """float32 (n, channels, height, width) in the order of the indices."""
        rows = np.asarray(order, np.intp)
        fresh = ~self._known[rows]
        decoded = self._decoded(rows[fresh], size)
        for start in range(0, len(rows), size):
            part, new = rows[start : start + size], fresh[start : start + size]
            found = np.empty((len(part), *self._bytes.shape[1:]), np.float32)
            if not new.all():
                found[~new] = self._read(part[~new])
            for place in np.flatnonzero(new):
                found[place] = next(decoded)
            if new.any():
                self._keep(part[new], found[new])
            yield found

    def _decoded(self, rows: NDArray[np.intp], size: int) -> Iterator[NDArray[np.float32]]:
        if len(rows):
            for batch in self._data.batches(self._split, size, rows.tolist()):
                yield from batch.only

    def _read(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        chosen = self._bytes[rows]
        found = np.empty(chosen.shape, np.float32)
        for channel, values in enumerate(self._values):
            np.take(values, chosen[:, channel], out=found[:, channel])
        return found

    def _keep(self, rows: NDArray[np.intp], inputs: NDArray[np.float32]) -> None:
        self._bytes[rows] = pixels_of(inputs, self._about)
        self._known[rows] = (self._read(rows) == inputs).reshape(len(rows), -1).all(1)


def _free() -> int:
    return int(psutil.virtual_memory().available)
