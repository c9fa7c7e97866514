"""What arrays say is right: integers are classes, or 0 and 1 of several; other numbers are what to find, or texts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import DataError

LEFT_OUT = (-1, -100)
"""Of frames and of tokens: parts of an example that are not judged."""


def checked(where: str, name: str, given: NDArray[Any], count: int) -> NDArray[Any]:
    """The labels of so many examples: int64, (count,) or (count, values), float32, (count, values), or texts, (count,).

    Raises:
        DataError: they are of another type or shape, not finite, or count from below 0.
    """
    if given.dtype.kind == "U" and given.shape == (count,):
        return given
    if given.dtype.kind not in "iufb":
        raise DataError(
            f"{where}: `{name}` are {given.dtype}: give classes as integers (int64), numbers as float32, or texts"
        )
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
    if labels.ndim > 1 and np.isin(labels[labels < 0], LEFT_OUT).all():
        return labels
    if labels.size and labels.min() < 0:
        row = int(labels.reshape(count, -1).min(axis=1).argmin())
        raise DataError(f"{where}: {name}[{row}] is {labels.min()}: labels count from 0")
    return labels


def task_of(labels: NDArray[Any] | None) -> str:
    """The task that such labels, or none, are of."""
    if labels is not None and labels.dtype.kind in "fU":
        return "regression" if labels.dtype.kind == "f" else "ctc_text"
    return "multilabel" if labels is not None and labels.ndim > 1 else "classification"
