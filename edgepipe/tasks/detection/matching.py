"""Which box is right, once for each picture and class; from it average precision for any weights of the pictures.

COCO's rules, as in its evaluator: boxes by falling score, each takes the free labelled box of most overlap, ignored
ones last; precision at 101 recalls. Here for intervals alone, for which pictures are drawn again hundreds of times.
Source: Lin et al., Microsoft COCO, arXiv:1405.0312, and https://cocodataset.org/#detection-eval
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]
THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)


class Matches(NamedTuple):
    """Of one class, boxes by falling score.

    Attributes:
        pictures: (k,), whose each box is.
        right: bool, (k, thresholds); counted: likewise, False where it took an ignored box.
        labelled: (n,): boxes to be found in each picture.
    """

    pictures: NDArray[np.intp]
    right: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    labelled: NDArray[np.float64]


def overlaps(one: Boxes, other: Boxes, crowd: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """(k, m): intersection over union of (k, 4) and (m, 4); over the own area where the other is a crowd."""
    a, b = one.astype(np.float64)[:, None], other.astype(np.float64)[None]
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    common = np.maximum(high - low, 0).prod(-1)
    mine, theirs = ((each[..., 2:] - each[..., :2]).prod(-1) for each in (a, b))
    whole = mine + theirs - common
    if crowd is not None:
        whole = np.where(crowd[None], mine, whole)
    return np.asarray(common / np.maximum(whole, 1e-12))


def matched(boxes: Boxes, truth: Boxes) -> dict[int, Matches]:
    """By class of the labelled boxes; arguments as for `evaluator.evaluated`."""
    found = {}
    for number in np.unique(truth[..., 4][truth[..., 4] >= 0]).astype(int).tolist():
        pictures, scores, right, counted = [], [], [], []
        labelled = np.zeros(len(truth))
        for row, (said, there) in enumerate(zip(boxes, truth, strict=True)):
            # One turned inside out has no area, and COCO's evaluator passes it over.
            mine = said[(said[:, 4] == number) & ((said[:, 2:4] - said[:, :2]).prod(axis=1) >= 0)]
            mine = mine[np.argsort(-mine[:, 5], kind="stable")]
            known = there[there[:, 4] == number]
            known = known[np.argsort(known[:, 5] != 0, kind="stable")]  # those to be found first
            labelled[row] = (known[:, 5] == 0).sum()
            if len(mine):
                hit, ignored = _of_picture(mine, known)
                pictures.append(np.full(len(mine), row, np.intp))
                scores.append(mine[:, 5])
                right.append(hit & ~ignored)
                counted.append(~ignored)
        if not pictures:
            nothing = np.zeros((0, len(THRESHOLDS)), np.bool_)
            found[number] = Matches(np.zeros(0, np.intp), nothing, nothing, labelled)
            continue
        order = np.argsort(-np.concatenate(scores), kind="stable")
        tables = [np.concatenate(each)[order] for each in (right, counted)]
        found[number] = Matches(np.concatenate(pictures)[order], tables[0], tables[1], labelled)
    return found


def _of_picture(mine: Boxes, known: Boxes) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(took a labelled box, took an ignored one), (boxes, thresholds) each."""
    hit, ignored = np.zeros((2, len(mine), len(THRESHOLDS)), np.bool_)
    crowd = known[:, 5] != 0
    if not len(known):
        return hit, ignored
    shares = overlaps(mine[:, :4], known[:, :4], crowd)
    free = np.ones((len(THRESHOLDS), len(known)), np.bool_)
    columns = np.arange(len(THRESHOLDS))
    for row in np.flatnonzero(shares.max(axis=1) >= THRESHOLDS[0]):
        able = free & (shares[row] >= THRESHOLDS[:, None])
        first = able & ~crowd
        able = np.where(first.any(axis=1, keepdims=True), first, able)
        # Of equals the last one, as in COCO's evaluator.
        best = len(known) - 1 - np.where(able, shares[row], -1.0)[:, ::-1].argmax(axis=1)
        hit[row] = able.any(axis=1)
        ignored[row] = hit[row] & crowd[best]
        free[columns[hit[row]], best[hit[row]]] = crowd[best[hit[row]]]  # a crowd has room for many
    return hit, ignored


def mean_precision(classes: dict[int, Matches], weights: NDArray[np.float64], columns: slice) -> NDArray[np.float64]:
    """(draws,): mean average precision for each row of `weights`, (draws, n), over these thresholds; NaN: no box.

    Args:
        columns: of `THRESHOLDS`.
    """
    total, count = np.zeros((2, len(weights)))
    for found in classes.values():
        wanted = weights @ found.labelled
        for draw, row in enumerate(weights):
            if wanted[draw] > 0:
                total[draw] += _precision(found, row[found.pictures], wanted[draw], columns)
                count[draw] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _precision(found: Matches, weights: NDArray[np.float64], wanted: float, columns: slice) -> float:
    drawn = weights > 0
    mine = weights[drawn, None]
    right = (mine * found.right[drawn, columns]).cumsum(0)
    if not len(right):
        return 0.0
    seen = (mine * found.counted[drawn, columns]).cumsum(0)
    precision = right / np.maximum(seen, np.spacing(1))
    precision = np.maximum.accumulate(precision[::-1], 0)[::-1]
    recall = right / wanted
    values = []
    for column in range(right.shape[1]):
        places = np.searchsorted(recall[:, column], _RECALLS, side="left")
        values.append(np.append(precision[:, column], 0.0)[places].mean())
    return float(np.mean(values))
