"""Figures of a ranking by scores, over weighted examples, so that intervals take one sort."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
Ranked = Callable[[Weights, Weights], Weights]
"""(hits, seen), (draws, steps) each, of a ranking from the best score down: weights of positives and of all so far."""


def ranked(scores: NDArray[np.floating], truth: NDArray[np.bool_], weights: Weights, figure: Ranked) -> Weights:
    """(draws,): a figure of one ranking; equal scores count as one step.

    Args:
        scores, truth: (n,); weights: (draws, n).
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    mine = weights[:, order]
    return figure((mine * truth[order]).cumsum(axis=1)[:, ends], mine.cumsum(axis=1)[:, ends])


def precision(hits: Weights, seen: Weights) -> Weights:
    """Average precision: the sum of precision times the step in recall; NaN without positives.

    Source: scikit-learn, `average_precision_score`; Manning et al., Introduction to Information Retrieval (2008), 8.4.
    """
    steps = np.diff(hits, axis=1, prepend=0)
    total = hits[:, -1]
    found = (steps * hits / np.maximum(seen, 1e-12)).sum(axis=1) / np.maximum(total, 1e-12)
    return np.where(total > 0, found, np.nan)


def area(hits: Weights, seen: Weights) -> Weights:
    """Area under the ROC curve: how often a positive stands above a negative, half of equal ones; NaN if none.

    Source: Hanley and McNeil, Radiology 143 (1982) 29.
    """
    misses = seen - hits
    steps = np.diff(misses, axis=1, prepend=0)
    before = np.concatenate([np.zeros((len(hits), 1)), hits[:, :-1]], axis=1)
    positives, negatives = hits[:, -1], misses[:, -1]
    pairs = positives * negatives
    found = (steps * (before + hits) / 2).sum(axis=1) / np.maximum(pairs, 1e-12)
    return np.where(pairs > 0, found, np.nan)
