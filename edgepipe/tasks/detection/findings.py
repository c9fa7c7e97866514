"""What to say of a detector that finds nearly nothing: which part of it is likely wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from edgepipe.contract import Signature
from edgepipe.tasks.detection.matching import matched, mean_precision, overlaps

_LITTLE = 0.05
_FEW, _MOSTLY, _LIES_RIGHT = 10, 0.7, 0.5
"""Boxes that tell how a model counts classes, the share of them that has to agree, and the IoU that makes one tell."""
_FIRST = slice(0, 1)


def near_zero(
    boxes: NDArray[np.float32], truth: NDArray[np.float32], shown: float, signature: Signature, first: bool
) -> str | None:
    """A sentence where mAP50 is below 5%; None: it is not.

    Args:
        first: whether these are the answers of the model as it came.
    """
    found = _half(boxes, truth)
    if found is None or found >= _LITTLE:
        return None
    said = f"mAP50 is {found:.1%}: the model finds nearly nothing of what is labelled"
    if not first:
        return f"{said}, and the baseline does: this step lost the model"
    about = signature.preprocessing
    how = f"data.fit={about.fit}, data.order={about.order}, data.scale={about.scale:.4g}, data.mean={list(about.mean)}"
    alone = _half(_one_class(boxes), _one_class(truth))
    if alone is not None and alone >= max(0.2, 4 * found):
        numbers = sorted({int(each) for each in boxes[..., 4][boxes[..., 5] >= shown].tolist() if each >= 0})
        return (
            f"{said}, though its boxes lie right ({alone:.1%} whatever their class): it numbers the classes otherwise. "
            f"It shows numbers {numbers[:12]} after task.first_class is taken off, and the data's are 0 to "
            f"{len(signature.classes) - 1}. Set task.first_class, or task.labels to the model's number of each class"
        )
    if float(boxes[..., 5].max(initial=0)) < shown:
        return (
            f"{said}: its best score is {float(boxes[..., 5].max(initial=0)):.2f}. The pictures likely do not go in as "
            f"they did in training ({how}): try data.scale=1 with data.mean=[0,0,0] data.std=[1,1,1], "
            "and data.order=bgr"
        )
    return (
        f"{said}, though it shows boxes: they lie elsewhere. Check how pictures are fitted and ordered ({how}) and "
        "whether task.head reads the outputs as they are meant"
    )


def numbering(boxes: NDArray[np.float32], truth: NDArray[np.float32], shown: float) -> tuple[int, ...] | None:
    """By class of the data the number that the model's boxes there have; None: they tell none, or no other.

    Boxes that lie on labelled ones say how often a number meets a class; numbers are assigned to make the most of it.
    """
    known = int(truth[..., 4].max(initial=-1)) + 1
    met = np.zeros((known, int(boxes[..., 4].max(initial=0)) + 1))
    for said, there in zip(boxes, truth, strict=True):
        mine = said[(said[:, 4] >= 0) & (said[:, 5] >= shown)]
        real = there[(there[:, 4] >= 0) & (there[:, 5] == 0)]
        if not len(mine) or not len(real):
            continue
        shares = overlaps(real[:, :4], mine[:, :4])
        for row, place in enumerate(shares.argmax(1)):
            if shares[row, place] >= _LIES_RIGHT:
                met[int(real[row, 4]), int(mine[place, 4])] += 1
    if met.sum() < _FEW or met.shape[1] < known:
        return None
    rows, numbers = linear_sum_assignment(met, maximize=True)
    found = tuple(int(number) for number in numbers)
    sure = met[rows, numbers]
    if sure.sum() < _MOSTLY * met.sum() or not sure.all() or found == tuple(range(known)):
        return None
    return found


def _half(boxes: NDArray[np.float32], truth: NDArray[np.float32]) -> float | None:
    """Average precision at IoU 0.5."""
    value = float(mean_precision(matched(boxes, truth), np.ones((1, len(truth))), _FIRST)[0])
    return value if np.isfinite(value) else None


def _one_class(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    found = boxes.copy()
    found[..., 4] = np.where(boxes[..., 4] >= 0, 0, -1)
    return found


def counted(boxes: NDArray[Any], signature: Signature) -> str:
    """`3 RBC, 1 WBC` of rows (k, 6) with the class in the fifth column."""
    numbers, counts = np.unique(boxes[:, 4][boxes[:, 4] >= 0].astype(int), return_counts=True)
    names = signature.classes
    said = [
        f"{count} {names[number] if number < len(names) else number}"
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
    ]
    return ", ".join(said) or "no box"
