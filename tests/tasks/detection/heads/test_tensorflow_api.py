from __future__ import annotations

import numpy as np

from tests.tasks.detection.heads.layouts import check
from tests.tasks.detection.scenes import BOXES, SIZE


def parts(first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """boxes as y1, x1, y2, x2 in shares, classes, scores, count."""
    boxes = BOXES[..., [1, 0, 3, 2]] / ([SIZE[0], SIZE[1]] * 2)
    return boxes, BOXES[..., 4] + first, BOXES[..., 5], np.array([2, 1], np.float32)


def test_names_of_the_detection_api_whose_classes_count_from_one() -> None:
    boxes, classes, scores, count = parts(1)
    raw = np.zeros((2, 1917, 91), np.float32)
    named = {"detection_scores": scores, "raw_detection_scores": raw, "detection_boxes": boxes}
    check("tensorflow_api", {**named, "detection_classes": classes, "num_detections": count})


def test_the_order_of_the_operator_whose_classes_count_from_zero() -> None:
    boxes, classes, scores, count = parts(0)
    names = [f"StatefulPartitionedCall:{i}" for i in range(4)]
    check("tensorflow_api", dict(zip(names, (boxes, classes, scores, count), strict=True)))
    check("tensorflow_api", dict(zip(names, (boxes, scores, classes, count), strict=True)))
