"""A detector that finds nearly nothing is said to, with what is likely wrong."""

from __future__ import annotations

import numpy as np

from edgepipe.contract import Preprocessing, Signature
from edgepipe.tasks.detection.findings import counted, near_zero, numbering
from tests.tasks.detection.scenes import BOXES, SIZE

ABOUT = Preprocessing(image_size=SIZE, channels=3, mean=(0.0,) * 3, std=(1.0,) * 3, order="bgr")
SIGNATURE = Signature(input_shape=(3, *SIZE), classes=("ant", "bee", "cow"), preprocessing=ABOUT)
TRUTH = BOXES * np.array([1, 1, 1, 1, 1, 0], np.float32)


def said(boxes: np.ndarray, first: bool = True) -> str:
    return near_zero(boxes.astype(np.float32), TRUTH, 0.3, SIGNATURE, first) or ""


def test_a_good_one_is_not_spoken_of() -> None:
    assert said(BOXES) == ""


def test_other_numbers_of_classes_are_told_from_other_boxes() -> None:
    other = BOXES.copy()
    other[..., 4] = np.where(BOXES[..., 4] >= 0, BOXES[..., 4] + 5, -1)
    assert "numbers the classes otherwise. It shows numbers [5, 6, 7]" in said(other)
    assert "task.first_class" in said(other)


def test_low_scores_are_laid_to_the_pictures_and_wrong_places_to_fit_and_head() -> None:
    low = BOXES.copy()
    low[..., 5] *= 0.1
    low[..., :4] += 60
    assert "its best score is 0.09" in said(low) and "data.order=bgr, data.scale=0.003922" in said(low)
    moved = BOXES.copy()
    moved[..., :4] /= 3
    assert "they lie elsewhere" in said(moved) and "task.head" in said(moved)


def test_a_step_is_not_told_to_check_the_pictures() -> None:
    moved = BOXES.copy()
    moved[..., :4] += 60
    assert said(moved, first=False).endswith("this step lost the model")


def test_boxes_are_counted_by_name() -> None:
    assert counted(BOXES[0], SIGNATURE) == "1 ant, 1 cow"
    assert counted(BOXES[1][1:], SIGNATURE) == "no box"


def _drawn(numbers: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes that lie on 20 labelled ones of classes 0 and 1, with the model's numbers of these."""
    rng = np.random.default_rng(0)
    truth, boxes = np.zeros((2, 10, 2, 6), np.float32)
    corner = rng.uniform(0, 50, (10, 2, 2))
    truth[..., :2] = boxes[..., :2] = corner
    truth[..., 2:4] = boxes[..., 2:4] = corner + 20
    truth[..., 4] = [0, 1]
    boxes[..., 4], boxes[..., 5] = numbers, 0.9
    return boxes, truth


def test_the_order_of_a_models_classes_is_told_by_where_its_boxes_lie() -> None:
    assert numbering(*_drawn([1, 0]), 0.3) == (1, 0)
    assert numbering(*_drawn([4, 2]), 0.3) == (4, 2)


def test_the_same_order_and_boxes_that_tell_no_other_are_left_alone() -> None:
    assert numbering(*_drawn([0, 1]), 0.3) is None
    assert numbering(*_drawn([1, 1]), 0.3) is None  # one number for both
    boxes, truth = _drawn([1, 0])
    assert numbering(boxes + np.float32([500, 0, 500, 0, 0, 0]), truth, 0.3) is None  # they lie elsewhere
