"""Mean average precision as COCO defines it, by faster-coco-eval."""

from __future__ import annotations

import importlib.util
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import MeasureError

NEEDED = "faster_coco_eval"


class Precision(NamedTuple):
    """Average precisions in [0, 1]; None: no labelled box.

    Attributes:
        mean: over classes and IoU of 0.50, 0.55, …, 0.95. half: over classes at IoU 0.50.
        by_class: class to (over all IoU, at 0.50), of those that a labelled box has.
    """

    mean: float | None
    half: float | None
    by_class: dict[int, tuple[float, float]]


def check_installed() -> None:
    """Ask for the evaluator before anything is computed.

    Raises:
        MeasureError: it is missing; says what to install.
    """
    if importlib.util.find_spec(NEEDED) is None:
        raise MeasureError(
            "task: detection is measured by faster-coco-eval, which is not installed here. Install the extra: "
            "pip install 'edgepipe[detection]'"
        )


def evaluated(boxes: NDArray[np.float32], truth: NDArray[np.float32]) -> Precision:
    """Evaluate boxes, (n, k, 6) as x1, y1, x2, y2, class, score, against (n, m, 6) as x1, y1, x2, y2, class, ignored.

    Boxes that are ignored are COCO's crowds: finding them, or not, counts for nothing. Rows of class -1 are none.

    Raises:
        MeasureError: the evaluator is missing.
    """
    check_installed()
    from faster_coco_eval import COCO, COCOeval_faster

    there = truth[..., 4] >= 0
    if not (there & (truth[..., 5] == 0)).any():
        return Precision(None, None, {})
    classes = sorted(int(each) for each in np.unique(truth[..., 4][there]))
    labelled = COCO(_labelled(truth, classes))
    said = _rows(boxes, classes)
    if not said:
        return Precision(0.0, 0.0, dict.fromkeys(classes, (0.0, 0.0)))
    judge = COCOeval_faster(labelled, labelled.loadRes(said), iouType="bbox", print_function=_say_nothing)
    judge.params.maxDets = [1, 10, boxes.shape[1]]
    judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
    judge.evaluate()
    judge.accumulate()
    found = np.asarray(judge.eval["precision"], np.float64)[:, :, :, 0, -1]  # (IoU, recall, class)
    each = {}
    for column, number in enumerate(classes):
        values = found[:, :, column]
        if values.size and values.max() > -1:
            each[number] = float(values.mean()), float(values[0].mean())
    if not each:
        return Precision(None, None, {})
    means = np.mean(list(each.values()), axis=0)
    return Precision(float(means[0]), float(means[1]), each)


def _labelled(truth: NDArray[np.float32], classes: list[int]) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for row, table in enumerate(truth):
        for x1, y1, x2, y2, label, ignored in table.tolist():
            if label < 0:
                continue
            width, height = x2 - x1, y2 - y1
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": row + 1,
                    "category_id": int(label),
                    "bbox": [x1, y1, width, height],
                    "area": width * height,
                    "iscrowd": int(ignored != 0),
                }
            )
    images = [{"id": row + 1} for row in range(len(truth))]
    return {"images": images, "categories": [{"id": each} for each in classes], "annotations": annotations}


def _rows(boxes: NDArray[np.float32], classes: list[int]) -> list[dict[str, Any]]:
    """Boxes of classes that nobody labelled count nowhere."""
    known, found = set(classes), []
    for row, table in enumerate(boxes):
        for x1, y1, x2, y2, label, score in table.tolist():
            if int(label) in known:
                place = [x1, y1, x2 - x1, y2 - y1]
                found.append({"image_id": row + 1, "category_id": int(label), "bbox": place, "score": score})
    return found


def _say_nothing(*_words: object) -> None:
    """The evaluator tells what it does."""
