from __future__ import annotations

import numpy as np
import pytest

from tests.tasks.detection.heads.layouts import check
from tests.tasks.detection.scenes import BOXES, SIZE


def rows(order: list[int]) -> np.ndarray:
    """(2, 300, 6): the boxes, then nothing."""
    found = np.zeros((2, 300, 6))
    found[:, :2] = BOXES[..., [0, 1, 2, 3, 5, 4]]
    found[1, 1] = 0
    found[:, 2:, 4] = 0.002
    return found[..., order]


@pytest.mark.parametrize("shares", [False, True])
def test_corners_score_class(shares: bool) -> None:
    values = rows([0, 1, 2, 3, 4, 5])
    if shares:
        values[..., :4] /= [SIZE[1], SIZE[0]] * 2
    check("end_to_end", {"output0": values})


def test_class_score_corners_with_a_count_beside() -> None:
    check("end_to_end", {"boxes": rows([5, 4, 0, 1, 2, 3]), "count": np.array([2, 1], np.int32)})
