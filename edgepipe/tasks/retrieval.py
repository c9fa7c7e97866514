"""Whether vectors find the same neighbours as the float model's: what a search among them would return."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10
_MOST_QUERIES = 500
"""Examples that are searched for, spread evenly; all of them are searched among."""
_FEWEST = NEIGHBOURS + 2
_BLOCK = 1 << 22
"""Similarities that are held at once."""


def found_again(
    vectors: NDArray[Any], reference: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Recall among the 10 nearest and rank correlation of each query, both (queries,); None: too few vectors.

    Every example is a query (of more than 500 so many, spread evenly) among all others, by cosine. Recall is the share
    of the 10 nearest by `reference` that are among the 10 nearest by `vectors`; the correlation is Spearman's, of the
    similarities to all others.

    Args:
        vectors, reference: (n, k) of the same examples.
    """
    n = len(reference)
    if n < _FEWEST:
        return None
    if np.array_equal(vectors, reference):  # the baseline's own
        all_of_them = np.ones(min(n, _MOST_QUERIES))
        return all_of_them, all_of_them
    mine, theirs = (_unit(each) for each in (vectors, reference))
    queries = np.unique(np.linspace(0, n - 1, min(n, _MOST_QUERIES)).round().astype(np.int64))
    recalls, correlations = [], []
    each = max(1, _BLOCK // n)
    for start in range(0, len(queries), each):
        rows = queries[start : start + each]
        now, then = (_to_others(vectors, rows) for vectors in (mine, theirs))
        nearest = np.zeros(then.shape, np.bool_)
        np.put_along_axis(nearest, _nearest(then), True, axis=1)
        recalls.append(np.take_along_axis(nearest, _nearest(now), axis=1).mean(axis=1))
        correlations.append(_correlations(_ranks(now), _ranks(then)))
    return np.concatenate(recalls), np.concatenate(correlations)


def _unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    size = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(size, 1e-30), np.float32)


def _to_others(unit: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Cosine of each query to all others, (queries, n - 1)."""
    every = unit[rows] @ unit.T
    others = np.ones(every.shape, np.bool_)
    others[np.arange(len(rows)), rows] = False
    return every[others].reshape(len(rows), -1)


def _nearest(similarities: NDArray[np.float32]) -> NDArray[np.int64]:
    """The 10 nearest, ties to the first."""
    return np.argsort(-similarities, axis=1, kind="stable")[:, :NEIGHBOURS]


def _ranks(similarities: NDArray[np.float32]) -> NDArray[np.float64]:
    order = np.argsort(similarities, axis=1, kind="stable")
    ranks = np.empty(similarities.shape)
    np.put_along_axis(
        ranks, order, np.broadcast_to(np.arange(similarities.shape[1], dtype=np.float64), ranks.shape), axis=1
    )
    return ranks


def _correlations(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's of ranks without ties: Spearman's. Source: Spearman, American Journal of Psychology 15 (1904)."""
    middle = (one.shape[1] - 1) / 2
    a, b = one - middle, other - middle
    return np.asarray((a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1)))
