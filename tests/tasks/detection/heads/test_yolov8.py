from __future__ import annotations

import numpy as np
import pytest

from tests.tasks.detection.heads.layouts import check
from tests.tasks.detection.scenes import SIZE, logit, placed


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("activated", [True, False])
def test_pixels_or_shares_places_last_or_first(shares: bool, turned: bool, activated: bool) -> None:
    boxes, scores = placed()
    if shares:
        boxes = boxes / ([SIZE[1], SIZE[0]] * 2)
    values = np.concatenate([boxes, scores if activated else logit(scores)], -1)
    check("yolov8", {"output0": values if turned else values.transpose(0, 2, 1)})


def test_four_strides() -> None:
    strides = (8, 16, 32, 64)
    boxes, scores = placed(strides)
    # 96 is no multiple of 64: the last map has a row more than the loop of the scene makes.
    extra = 2
    boxes = np.concatenate([boxes, np.zeros((2, extra, 4))], 1)
    scores = np.concatenate([scores, np.zeros((2, extra, 3))], 1)
    check("yolov8", {"output0": np.concatenate([boxes, scores], -1).transpose(0, 2, 1)})
