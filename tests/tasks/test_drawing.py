"""What a report draws of boxes and masks lies where they are."""

from __future__ import annotations

import numpy as np

from edgepipe.contract import Signature
from edgepipe.tasks.detection.task import Detection
from edgepipe.tasks.drawing import colour, with_boxes, with_mask
from edgepipe.tasks.image import Image
from edgepipe.tasks.segmentation import Segmentation

GREY = np.full((200, 300, 3), 128, np.uint8)
SIGNATURE = Signature(input_shape=(3, 200, 300), classes=("cat", "dög"))


def test_sides_of_boxes_have_the_colour_of_the_class_and_ends_are_cut_to_the_picture() -> None:
    boxes = np.float32([[20, 30, 120, 90, 0, 0.9], [-50, -50, 1000, 1000, 1, 0.8]])
    drawn = with_boxes(GREY, boxes, SIGNATURE.classes)
    assert tuple(drawn[90, 70]) == colour(0)
    assert tuple(drawn[199, 150]) == tuple(drawn[100, 299]) == colour(1)
    assert tuple(drawn[70, 60]) == (128, 128, 128)
    assert (GREY == 128).all()


def test_a_mask_of_another_size_lies_over_the_picture_and_leaves_what_is_not_judged() -> None:
    mask = np.zeros((20, 30), np.int64)
    mask[:, 15:] = 255
    drawn = with_mask(GREY, mask, 255)
    assert (drawn[:, 150:] == 128).all()
    assert np.abs(drawn[0, 0].astype(float) - (0.45 * 128 + 0.55 * np.array(colour(0)))).max() <= 1


def test_tasks_draw_what_they_show_and_nothing_else() -> None:
    rows = np.float32([[[20, 30, 120, 90, 0, 0.9], [150, 30, 250, 90, 1, 0.1], [0, 0, 0, 0, -1, 0]]])
    shown = Detection().show(GREY, {"boxes": rows}, 0, SIGNATURE)
    assert shown is not None
    assert tuple(shown[90, 70]) == colour(0)
    assert tuple(shown[90, 200]) == (128, 128, 128)  # below task.shown
    truth = rows.copy()
    truth[..., 5] = 0
    assert tuple(Detection().show(GREY, {"truth": truth}, 0, SIGNATURE)[90, 200]) == colour(1)
    masks = np.full((1, 200, 300), 1, np.uint8)
    assert (Segmentation().show(GREY, {"masks": masks}, 0, SIGNATURE) == with_mask(GREY, masks[0], 255)).all()
    made = Image().show(GREY, {"pictures": np.full((1, 1, 4, 5), 0.5, np.float32)}, 0, SIGNATURE)
    assert made.shape == (4, 5, 3)
    assert (made == 128).all()
