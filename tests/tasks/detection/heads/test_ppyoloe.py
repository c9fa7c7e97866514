from __future__ import annotations

import numpy as np
import pytest

from tests.tasks.detection.heads.layouts import check
from tests.tasks.detection.scenes import logit, placed


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("activated", [True, False])
def test_corners_and_scores_in_either_order_of_axes(turned: bool, activated: bool) -> None:
    boxes, scores = placed()
    corners = np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)
    scores = scores if activated else logit(scores)
    check("ppyoloe", {"boxes": corners, "scores": scores if turned else scores.transpose(0, 2, 1)})
    check("ppyoloe", {"s": scores if turned else scores.transpose(0, 2, 1), "b": corners})
