"""Do they answer alike? What two networks, or two files, answer to the same examples, output by output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NONE = 1e-30
"""Stands for the largest value where all are zero."""


@dataclass(frozen=True)
class Alike:
    """How far one output is from what was wanted, example by example.

    Attributes:
        shapes: of what was wanted and of what was got; where they differ, nothing else is known.
        finite: whether all values of both are; a value that is the same infinity in both, as of masked scores, counts
            as no difference.
        differences: float64, (n,), the largest of each example; infinite between shapes.
        same: bool, (n,), whether an example's largest value stands at the same place; a single value has one place.
        largest: magnitude of the largest value that was wanted.
    """

    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    finite: bool
    differences: NDArray[np.float64]
    same: NDArray[np.bool_]
    largest: float

    @property
    def one_shape(self) -> bool:
        """Whether the two can be compared at all."""
        return self.shapes[0] == self.shapes[1]

    @property
    def largest_difference(self) -> float:
        """Over all examples; NaN where one is not finite."""
        return float(self.differences.max(initial=0.0))

    @property
    def share(self) -> float:
        """`largest_difference` as a share of the largest value; where all wanted ones are 0, as it is."""
        return self.largest_difference / self.largest if self.largest > _NONE else self.largest_difference

    @property
    def agreement(self) -> float:
        """Share of the examples, in [0, 1], whose largest value stands at the same place."""
        return float(self.same.mean()) if self.same.size else 1.0

    def and_then(self, other: Alike) -> Alike:
        """Both as one, of the examples of this and then those of the other."""
        return Alike(
            self.shapes if not self.one_shape else other.shapes,
            self.finite and other.finite,
            np.concatenate([self.differences, other.differences]),
            np.concatenate([self.same, other.same]),
            max(self.largest, other.largest),
        )


def alike(wanted: NDArray[np.generic], got: NDArray[np.generic]) -> Alike:
    """Compare one output.

    Args:
        wanted, got: (n, ...) of any type that has numbers, one answer for each example.
    """
    count = len(wanted) if wanted.ndim else 1
    if wanted.shape != got.shape:
        return Alike((wanted.shape, got.shape), False, np.full(count, np.inf), np.zeros(count, np.bool_), float("nan"))
    if not wanted.size:
        return Alike((wanted.shape, got.shape), True, np.zeros(count), np.ones(count, np.bool_), 0.0)
    a, b = (np.asarray(value).reshape(count, -1) for value in (wanted, got))
    same = a.argmax(axis=1) == b.argmax(axis=1)
    a, b = without_same_infinities(a.astype(np.float64), b.astype(np.float64))
    finite = bool(np.isfinite(a).all() and np.isfinite(b).all())
    with np.errstate(invalid="ignore"):  # of two infinities
        differences = np.abs(a - b).max(axis=1)
    return Alike((wanted.shape, got.shape), finite, differences, np.asarray(same), float(np.abs(a).max()))


def without_same_infinities(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both with 0 where they hold the same infinity."""
    same = np.isinf(a) & (a == b)
    return (np.where(same, 0, a), np.where(same, 0, b)) if same.any() else (a, b)


def all_alike(wanted: Mapping[str, NDArray[np.generic]], got: Mapping[str, NDArray[np.generic]]) -> dict[str, Alike]:
    """Compare named outputs, each as `alike` does.

    Raises:
        KeyError: what was wanted has an output that is not among those that were got.
    """
    return {name: alike(value, got[name]) for name, value in wanted.items()}
