"""Observers: what range of an activation is worth 256 steps. All stream; none keeps the activations.

A histogram of fixed size follows each tensor. Its bins have a power-of-two grid anchored at zero, so
growing the range merges neighbours exactly and memory does not depend on the number of examples, but for one number
of each: its energy. Extremes are of all values; of a large picture energy and histogram are of some, spread evenly.
"""

from __future__ import annotations

import math
from array import array
from functools import lru_cache
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

ObserverName = Literal["min_max", "moving_average", "percentile", "mse", "relative_mse", "entropy"]
_HALF = 4096  # bins on each side of zero
_ODD = 4.0
"""Times the median energy: an example with more counts by as much less, all others count alike."""
COUNTED = 2**13
"""Values of an example that its histogram counts; an EfficientNet at 224 has 1.2 million in one tensor."""
_NEIGHBOURS = 8
"""Values that are counted together, at most: a runtime gathers these as fast as one, for they share a cache line."""
UNLIMITED = (-np.inf, np.inf)


_LEAST = 2.0**-100
"""What stays below this is as good as zero: the reciprocal of a bin of it is no float32."""


class NotFiniteError(ValueError):
    """A value is NaN or infinite."""

    def __init__(self) -> None:
        super().__init__("NaN or infinity")


class Observer:
    """Follows one tensor; `observe` any number of arrays, then ask for a range."""

    def __init__(self, *, histogram: bool = True, smoothing: float = 0.1) -> None:
        self.low = np.inf
        self.high = -np.inf
        self.smooth_low: float | None = None
        self.smooth_high: float | None = None
        self.count = 0  # values in the histogram
        self._smoothing = smoothing
        self._width = 0.0
        self._bins: NDArray[np.int64] | None = np.zeros(2 * _HALF, np.int64) if histogram else None
        # The same for examples of each energy, by its exponent: what an example counts is known only at the end.
        self._levels: dict[int, NDArray[np.int64]] = {}
        self.typical = Typical()

    def observe(self, values: NDArray[np.float32]) -> None:
        """Take in one batch, any shape, examples along the first axis; one without values says nothing.

        Raises:
            NotFiniteError: a value is not finite.
        """
        if not values.size:  # boxes of a picture that shows nothing, a cut to no columns
            return
        examples = values.reshape(len(values) if values.ndim > 1 else 1, -1)
        size = examples.shape[1]
        self.observe_summary(
            float(examples.min()),
            float(examples.max()),
            examples if size <= COUNTED else examples.reshape(len(examples), -1, together(size))[:, places(size)],
        )

    def observe_summary(self, low: float, high: float, counted: NDArray[np.float32]) -> None:
        """Take in what `observe` would have computed of a batch.

        Args:
            low: least value of all.
            high: largest value of all.
            counted: values that stand for all in energy and histogram, float32, (n, …).
        Raises:
            NotFiniteError: a value is not finite.
        """
        counted = counted.reshape(len(counted), -1)
        energies = energies_of(counted)
        if not (np.isfinite(low) and np.isfinite(high) and not np.isnan(energies).any()):
            raise NotFiniteError()
        self.low, self.high = min(self.low, low), max(self.high, high)
        keep = 1 - self._smoothing
        self.smooth_low = low if self.smooth_low is None else keep * self.smooth_low + self._smoothing * low
        self.smooth_high = high if self.smooth_high is None else keep * self.smooth_high + self._smoothing * high
        self.typical.add(energies)
        self.count += counted.size
        if self._bins is not None:
            self._fill(counted, energies, max(-low, high))

    def _fill(self, values: NDArray[np.float32], energies: NDArray[np.float64], magnitude: float) -> None:
        """Count values of (examples, values of each)."""
        assert self._bins is not None
        if magnitude > _LEAST and self._width == 0.0:
            self._width = float(2.0 ** np.ceil(np.log2(magnitude / _HALF)))
        while self._width > 0 and magnitude >= self._width * _HALF:
            self._bins = _merged(self._bins)
            self._levels = {level: _merged(bins) for level, bins in self._levels.items()}
            self._width *= 2
        if self._width == 0.0:  # nothing but zeros so far
            self._bins[_HALF] += values.size
            return
        # Exact, since bins are a power of two wide: below the largest magnitude that they hold no value is rounded up.
        scaled = values * np.float32(1.0 / self._width)
        index = np.floor(scaled, out=scaled).astype(np.intp)  # what bincount counts without a copy
        index += _HALF
        levels = np.floor(np.log2(np.maximum(energies, 1e-300))).astype(int).tolist()
        for level in set(levels):
            mine = slice(None) if levels.count(level) == len(levels) else np.equal(levels, level)
            found = np.bincount(index[mine].reshape(-1), minlength=2 * _HALF)
            self._bins += found
            # Zero is exact, always. In the middle of its bin it would not be, and where most values are zero only that
            # would count.
            found[_HALF] -= values[mine].size - np.count_nonzero(values[mine])
            if level in self._levels:
                self._levels[level] += found
            else:
                self._levels[level] = found

    def _shares(self) -> NDArray[np.float64]:
        """The histogram with each example's values over its energy; the same in whatever order they came."""
        weighed = np.zeros(2 * _HALF)
        for level, bins in sorted(self._levels.items()):
            weighed += bins / at_least(np.array([1.5 * 2.0**level]), self.typical.energy)
        return weighed

    def range(
        self, kind: ObserverName, percentile: float = 99.99, limits: tuple[float, float] = UNLIMITED
    ) -> tuple[float, float]:
        """(low, high) that the quantized tensor should cover.

        Args:
            limits: beyond them no reader tells values apart: what lies there is no reason for wide steps, nor for
                cutting off the other end.
        """
        if self.count == 0:
            return 0.0, 0.0
        if kind == "moving_average" and self.smooth_low is not None and self.smooth_high is not None:
            return _inside(self.smooth_low, self.smooth_high, limits)
        if kind == "min_max" or self._bins is None or self._width == 0.0:
            return _inside(self.low, self.high, limits)
        if kind == "percentile":
            return _inside(*self._percentile(percentile), limits)
        if kind == "relative_mse":
            return self._search(self._shares(), _square_error, limits, far=True)
        return self._search(self._bins, _square_error if kind == "mse" else _divergence, limits)

    def _percentile(self, percentile: float) -> tuple[float, float]:
        assert self._bins is not None
        cumulated = np.cumsum(self._bins) / self.count
        edge = (100.0 - percentile) / 100.0
        low = (int(np.searchsorted(cumulated, edge, side="right")) - _HALF) * self._width
        high = (int(np.searchsorted(cumulated, 1 - edge, side="left")) + 1 - _HALF) * self._width
        return max(self.low, low), min(self.high, high)

    def _search(
        self,
        bins: NDArray[np.int64] | NDArray[np.float64],
        cost_of: _Cost,
        limits: tuple[float, float],
        far: bool = False,
    ) -> tuple[float, float]:
        """The range of least cost among shrunken versions of [low, high].

        Args:
            far: far smaller ones too; one odd example may reach far beyond all others.
        """
        filled = np.flatnonzero(bins)
        centers = (filled - _HALF + 0.5) * self._width
        counts, places = bins[filled].astype(np.float64), np.clip(centers, *limits)
        low, high = _inside(min(self.low, 0.0), max(self.high, 0.0), limits)
        shares = np.linspace(1.0, 0.3, 71)
        if far:
            shares = np.concatenate([shares, np.geomspace(0.29, 0.02, 60)])
        best, found = np.inf, (low, high)
        # One-sided tensors (after ReLU) shrink above only; two-sided ones first together, then each side alone.
        options = [(low * share, high * share) for share in shares]
        for option in options:
            cost = cost_of(counts, places, *option)
            if cost < best:
                best, found = cost, option
        if low < 0 < high:
            for option in [(found[0] * share, found[1]) for share in shares[1:31]] + [
                (found[0], found[1] * share) for share in shares[1:31]
            ]:
                cost = cost_of(counts, places, *option)
                if cost < best:
                    best, found = cost, option
        return found


def together(size: int) -> int:
    """How many neighbours are counted together in an example of so many values: a power of two that divides them."""
    return math.gcd(size, _NEIGHBOURS)


@lru_cache(maxsize=32)
def places(size: int) -> NDArray[np.int64]:
    """Which neighbours of an example of so many values are counted, ascending: some drawn from each of equal parts.

    Drawn, since a fixed step may meet the same columns of a picture again and again.

    Returns:
        int64, along an axis of size / together(size).
    """
    parts = COUNTED // together(size)
    edges = np.arange(parts + 1) * (size // together(size)) // parts
    inside = np.random.default_rng(0).random(parts) * np.diff(edges)
    places: NDArray[np.int64] = edges[:-1] + inside.astype(np.int64)
    return places


def energies_of(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean square of each example, (n,); values: float32, (n, values of each)."""
    sums = np.einsum("ij,ij->i", values, values).astype(np.float64)
    if not np.isfinite(sums).all():  # squares beyond float32, as of a mask of -3e38
        sums = np.einsum("ij,ij->i", values, values, dtype=np.float64)
    means: NDArray[np.float64] = sums / values.shape[1]
    return means


class Typical:
    """The median energy of the examples so far, of those that have any: a blank picture is no measure of others."""

    def __init__(self) -> None:
        self._seen = array("d")

    def add(self, energies: NDArray[np.floating]) -> None:
        """Take in the energies of a batch, (n,)."""
        self._seen.frombytes(np.asarray(energies, np.float64)[energies > 0].tobytes())

    @property
    def energy(self) -> float:
        """0 as long as nothing but zeros was seen."""
        return float(np.median(self._seen)) if self._seen else 0.0


def at_least(energies: NDArray[np.floating], typical: float) -> NDArray[np.float64]:
    """What an example's error is a share of: its energy, (n,), or that of an example that is just not odd.

    Infinite, so that nothing counts, where nothing is known of others.
    """
    return np.maximum(np.asarray(energies, np.float64), _ODD * typical if typical > 0 else np.inf)


def _merged(bins: NDArray[Any]) -> NDArray[Any]:
    """Twice as wide bins, two neighbours in each."""
    wider = np.zeros_like(bins)
    wider[_HALF // 2 : _HALF // 2 + _HALF] = bins.reshape(-1, 2).sum(axis=1)
    return wider


def _inside(low: float, high: float, limits: tuple[float, float]) -> tuple[float, float]:
    return max(low, limits[0]), min(high, limits[1])


class _Cost(Protocol):
    def __call__(self, counts: NDArray[np.float64], places: NDArray[np.float64], low: float, high: float) -> float: ...


def _square_error(counts: NDArray[np.float64], places: NDArray[np.float64], low: float, high: float) -> float:
    """Expected squared error of quantizing to 256 steps over [low, high]; rounding inside, clipping outside."""
    scale = max((high - low) / 255.0, 1e-30)
    kept = np.clip(np.rint(places / scale), np.rint(low / scale), np.rint(high / scale)) * scale
    return float((counts * np.square(places - kept)).sum())


def _divergence(counts: NDArray[np.float64], places: NDArray[np.float64], low: float, high: float) -> float:
    """Kullback-Leibler divergence between the histogram and its 256-step version over [low, high].

    Source: Migacz, 8-bit inference with TensorRT, GTC 2017.
    """
    inside = (places >= low) & (places <= high)
    kept = counts * inside
    clipped = np.clip(places, low, high)
    scale = max((high - low) / 255.0, 1e-30)
    steps = np.rint(clipped / scale).astype(np.int64)
    steps -= steps.min()
    # The reference puts what is clipped at the edges; the candidate spreads each step evenly over its bins.
    reference = np.where(inside, counts, 0.0)
    first, last = np.flatnonzero(inside)[[0, -1]] if inside.any() else (0, len(counts) - 1)
    reference[first] += counts[:first].sum()
    reference[last] += counts[last + 1 :].sum()
    mass = np.bincount(steps[inside], weights=kept[inside], minlength=int(steps.max()) + 1)
    width = np.bincount(steps[inside], minlength=int(steps.max()) + 1)
    candidate = np.where(inside, (mass / np.maximum(width, 1))[steps], 0.0)
    p, q = reference / max(reference.sum(), 1.0), candidate / max(candidate.sum(), 1e-30)
    seen = (p > 0) & (q > 0)
    lost = p[(p > 0) & ~(q > 0)].sum()
    return float((p[seen] * np.log(p[seen] / q[seen])).sum() + lost * 20.0)
