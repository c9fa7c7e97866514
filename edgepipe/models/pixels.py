"""Pictures kept as the bytes that they were decoded to: a quarter of their floats, which come out the same to the bit.

A small JPEG takes longer to decode than a small network to answer, and training reads every one again in each epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import psutil
from numpy.typing import NDArray

from edgepipe.artifact import Signature
from edgepipe.contract import DataSource, Split

_MOST_BYTES = 1024**3
_MOST_SHARE = 0.25
"""Of the memory that is free."""


class Pixels:
    """uint8 (n, channels, height, width) that are read as float32, scaled and normalized.

    Args:
        bytes_: the pixels.
        values: float32, (channels, 256): what each byte means.
    """

    def __init__(self, bytes_: NDArray[np.uint8], values: NDArray[np.float32]) -> None:
        self._bytes, self._values = bytes_, values

    @classmethod
    def of(cls, data: DataSource, split: Split, signature: Signature) -> Pixels | None:
        """A whole split; None if it is too large, or its values are no normalized bytes."""
        about, shape = signature.preprocessing, signature.input_shape
        count = data.count(split)
        if len(shape) != 3 or not len(about.mean) == len(about.std) == shape[0]:
            return None
        if count * int(np.prod(shape)) > min(_MOST_BYTES, _MOST_SHARE * psutil.virtual_memory().available):
            return None
        mean, std = (np.asarray(values, np.float32)[:, None] for values in (about.mean, about.std))
        values = np.arange(256, dtype=np.float32)[None] / np.float32(255)
        pixels = cls(np.empty((count, *shape), np.uint8), (values - mean) / std)
        start = 0
        for batch in data.batches(split, 256):
            found = np.rint((batch.inputs * std[:, None] + mean[:, None]) * 255).clip(0, 255).astype(np.uint8)
            rows = slice(start, start + len(found))
            pixels._bytes[rows] = found
            if not np.array_equal(pixels[range(rows.start, rows.stop)], batch.inputs):
                return None
            start = rows.stop
        return pixels

    def __getitem__(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """float32, (rows, channels, height, width)."""
        chosen = self._bytes[rows]
        found = np.empty(chosen.shape, np.float32)
        for channel, values in enumerate(self._values):
            np.take(values, chosen[:, channel], out=found[:, channel])
        return found
