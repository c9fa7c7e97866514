"""What tasks share whose answers are numbers: reading them, and intervals of means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Interval
from edgepipe.errors import MeasureError
from edgepipe.tasks.intervals import Z95


def values_of(outputs: Mapping[str, NDArray[Any]], what: str) -> NDArray[np.float32]:
    """The first output as float32, (n, k).

    Raises:
        MeasureError: it has no axis of examples, or values that are NaN or infinite.
    """
    output = np.asarray(next(iter(outputs.values())))
    if output.ndim < 1:
        raise MeasureError(f"{what}: its first output is a single number, whatever the examples")
    found = output.reshape(len(output), -1).astype(np.float32)
    if not np.isfinite(found).all():
        raise MeasureError(f"{what}: NaN or infinite values on the evaluation examples: the step lost the model")
    return found


def mean_cosine(wanted: NDArray[Any], got: NDArray[Any]) -> float:
    """Over examples, of vectors (n, values)."""
    norms = np.linalg.norm(wanted, axis=1) * np.linalg.norm(got, axis=1)
    return float(((wanted * got).sum(axis=1) / np.maximum(norms, 1e-30)).mean())


def variance_kept(wanted: NDArray[Any], got: NDArray[Any]) -> float:
    """R2 of one output, (n, values), against another; where all answers are one, their size is the measure."""
    spread = float(((wanted - wanted.mean(axis=0)) ** 2).sum())
    return 1 - float(((wanted - got) ** 2).sum()) / max(spread, 1e-6 * float((wanted**2).sum()), 1e-30)


def mean_interval(values: NDArray[np.float64]) -> Interval:
    """95% interval of a mean by its standard error."""
    half = Z95 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    middle = float(values.mean())
    return middle - half, middle + half


def cosines(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """(n,): cosine of each row to its other; of two rows of zeros 1."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    sizes = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    found = np.clip((a * b).sum(axis=1) / np.maximum(sizes[0] * sizes[1], 1e-30), -1, 1)
    return np.where((sizes[0] == 0) & (sizes[1] == 0), 1.0, found)


def are_shares(outputs: NDArray[Any]) -> bool:
    """Whether outputs, (n, classes), end in a softmax already: a second one would flatten them."""
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        return False
    within = (outputs >= 0) & (outputs <= 1)
    return bool(within.all() and (np.abs(outputs.sum(axis=1) - 1) <= 1e-3).all())
