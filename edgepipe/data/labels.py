"""What arrays say is right: integers are classes, or 0 and 1 of several; other numbers are what to find."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import DataError


def checked(where: str, name: str, given: NDArray[Any], count: int) -> NDArray[Any]:
    """The labels of so many examples: int64, (count,) or (count, values), or float32, (count, values).

    Raises:
        DataError: they are of another type or shape, not finite, or count from below 0.
    """
    if given.dtype.kind not in "iufb":
        raise DataError(f"{where}: `{name}` are {given.dtype}: give classes as integers (int64) or numbers as float32")
    numbers = given.dtype.kind == "f"
    if given.shape[:1] != (count,) or given.ndim > 2:
        wanted = f"({count},) or ({count}, values)"
        raise DataError(f"{where}: `{name}` have shape {given.shape}, but there are {count} examples: give {wanted}")
    if numbers:
        values = given.astype(np.float32).reshape(count, -1)
        if not np.isfinite(values).all():
            raise DataError(f"{where}: `{name}` hold NaN or infinity: remove those examples")
        return values
    labels = given.astype(np.int64)
    if labels.size and labels.min() < 0:
        row = int(labels.reshape(count, -1).min(axis=1).argmin())
        raise DataError(f"{where}: {name}[{row}] is {labels.min()}: labels count from 0")
    return labels


def task_of(labels: NDArray[Any] | None) -> str:
    """The task that such labels, or none, are of."""
    if labels is not None and labels.dtype.kind == "f":
        return "regression"
    return "multilabel" if labels is not None and labels.ndim > 1 else "classification"
