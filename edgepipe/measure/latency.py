"""Time per example at batch 1, two models interleaved so that both see the same machine.

In one thread the clock is the processor time of that thread: a neighbour that takes the core away
in the middle of a run would be charged to the slower model far more often than to the faster one
(a 4 ms run is interrupted, a 0.3 ms run is not), and inflate the ratio. With more threads, or where
the system's thread clock is too coarse (Windows), it is the wall clock.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgepipe.contract import Interval
from edgepipe.onnx.session import Given, Session
from edgepipe.onnx.session_options import measuring

_ROUND_SECONDS = 0.008
"""Each model is timed about this long per round: a single run of a short model would be all noise."""
_SETTLING_RUNS = 3
_SETTLING_SECONDS = 0.1
"""Untimed runs after each change of model, at most about this long. The other model has pushed the weights out
of the caches; 45 MB take three runs to come back, and a large float model would look 20% slower than it runs."""
_LEAST_ROUNDS = 7
_MOST_ROUNDS = 400
_RESAMPLES = 2000
_OPENINGS = 5
"""Where a session's memory happens to lie moves its time by a few percent for its whole life; so both are reopened."""


_FINE_THREAD_CLOCK = hasattr(time, "thread_time") and time.get_clock_info("thread_time").resolution <= 1e-6


@dataclass(frozen=True)
class Latency:
    """Milliseconds per example: median and 90th percentile of single runs."""

    p50_ms: float
    p90_ms: float
    runs: int


@dataclass(frozen=True)
class PairedLatency:
    """`times_faster` is the median over rounds of (baseline time / step time)."""

    baseline: Latency
    step: Latency
    times_faster: float
    times_faster_ci95: Interval
    rounds: int


def latency(path: Path, example: Given, *, threads: int = 1, seconds: float = 2.0, warmup: int = 3) -> Latency:
    """Time of one model alone.

    Args:
        example: what one run takes, (1, …) or more by input; repeated to the batch of a model whose batch is fixed,
            whose time is then divided by it.
    """
    once = _runner(path, example, threads)
    estimate = _warm(once, warmup)
    per_round = _per_round(estimate)
    rounds = _rounds(seconds, estimate * per_round)
    return _summary([milliseconds for _ in range(rounds) for milliseconds in _time(once, per_round)])


def paired_latency(
    baseline: Path,
    step: Path,
    example: Given,
    *,
    threads: int = 1,
    seconds: float = 2.0,
    warmup: int = 3,
    seed: int = 0,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
) -> PairedLatency:
    """Time both models in turns, A B A B, and compare them round by round.

    A machine that slows down (heat, neighbours) slows both sides of a round, so their ratio holds.
    Both are opened five times, because equal sessions of one model differ by a few percent.

    Args:
        seconds: budget of the timed runs; at least 14 rounds are run however slow the models are.
        seed: of the bootstrap.
    """
    first_ms: list[float] = []
    second_ms: list[float] = []
    groups: list[list[float]] = []
    openings = _OPENINGS
    started = time.perf_counter()
    while len(groups) < openings:
        first, second = _runner(baseline, example, threads), _runner(step, example, threads)
        if time.perf_counter() - started > seconds and not groups:
            openings = 1  # models that take longer to open than to measure are opened once
        first_estimate, second_estimate = _warm(first, warmup), _warm(second, warmup)
        first_runs, second_runs = _per_round(first_estimate), _per_round(second_estimate)
        round_seconds = first_estimate * (first_runs + _settling(first_estimate))
        round_seconds += second_estimate * (second_runs + _settling(second_estimate))
        ratios: list[float] = []
        for _ in range(_rounds(seconds / openings, round_seconds, -(-2 * _LEAST_ROUNDS // openings))):
            a = _time(first, first_runs, _settling(first_estimate))
            b = _time(second, second_runs, _settling(second_estimate))
            ratios.append(float(np.median(a) / np.median(b)))
            first_ms += a
            second_ms += b
        groups.append(ratios)
        progress(len(groups) / openings, "speed, interleaved with the baseline")
    middle, interval = median_ratio(groups, seed)
    return PairedLatency(_summary(first_ms), _summary(second_ms), middle, interval, sum(map(len, groups)))


def median_ratio(groups: Sequence[Sequence[float]], seed: int) -> tuple[float, Interval]:
    """Median of all ratios, and its 95% interval by a bootstrap over groups, then over their rounds.

    A group holds the rounds of one opening of both sessions. Rounds of one opening agree with each
    other far better than openings do, so resampling rounds alone would promise too much.
    """
    drawn = np.random.default_rng(seed)
    values = [np.asarray(group, dtype=np.float64) for group in groups]
    medians = [
        np.median(np.concatenate([drawn.choice(values[i], len(values[i])) for i in chosen]))
        for chosen in drawn.integers(0, len(values), (_RESAMPLES, len(values)))
    ]
    low, high = np.quantile(medians, [0.025, 0.975])
    middle = float(np.median(np.concatenate(values)))
    return middle, (min(float(low), middle), max(float(high), middle))


def _runner(path: Path, example: Given, threads: int) -> Callable[[], float]:
    """A function that runs the model once and returns milliseconds per example."""
    session = Session(path, measuring(threads))
    batch = session.places(example).fixed or 1
    run = session.timed(session.fit(example))
    clock = time.thread_time if threads == 1 and _FINE_THREAD_CLOCK else time.perf_counter

    def once() -> float:
        start = clock()
        run()
        return (clock() - start) * 1000 / batch

    return once


def _warm(once: Callable[[], float], warmup: int) -> float:
    """Seconds of one run, the fastest of the warm-up."""
    return min(once() for _ in range(max(warmup, 1))) / 1000


def _per_round(seconds: float) -> int:
    return max(1, min(100, math.ceil(_ROUND_SECONDS / max(seconds, 1e-6))))


def _settling(seconds: float) -> int:
    return max(1, min(_SETTLING_RUNS, int(_SETTLING_SECONDS / max(seconds, 1e-6))))


def _rounds(budget: float, round_seconds: float, least: int = _LEAST_ROUNDS) -> int:
    return max(least, min(_MOST_ROUNDS, int(budget / max(round_seconds, 1e-6))))


def _time(once: Callable[[], float], runs: int, settling: int = 0) -> list[float]:
    # A collection in the middle of a run would be charged to the model.
    enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(settling):
            once()
        return [once() for _ in range(runs)]
    finally:
        if enabled:
            gc.enable()


def _summary(milliseconds: list[float]) -> Latency:
    p50, p90 = np.quantile(milliseconds, [0.5, 0.9])
    return Latency(float(p50), float(p90), len(milliseconds))
