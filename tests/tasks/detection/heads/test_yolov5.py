from __future__ import annotations

import numpy as np
import pytest

from edgepipe.tasks.detection.heads import About, Unfit, read
from edgepipe.tasks.detection.heads.yolov5 import ANCHORS
from tests.tasks.detection.heads.layouts import check
from tests.tasks.detection.scenes import BOXES, CLASSES, SIZE, as_centres, logit

STRIDES = (8, 16, 32)


def maps() -> list[np.ndarray]:
    """Raw values, (2, 3, rows, columns, 5 + classes), each box at the second anchor of stride 16, by the formula."""
    found = [np.full((2, 3, SIZE[0] // stride, SIZE[1] // stride, 5 + CLASSES), -9.0) for stride in STRIDES]
    for values in found:
        values[..., :4] = 0
    for row, table in enumerate(BOXES):
        for box in table[table[:, 4] >= 0]:
            x, y, width, height = as_centres(box[None, :4])[0]
            column, line = int(x // 16), int(y // 16)
            anchor = np.array(ANCHORS[1][2:4])
            place = found[1][row, 1, line, column]
            place[:2] = logit((np.array([x / 16 - column, y / 16 - line]) + 0.5) / 2)
            place[2:4] = logit(np.sqrt(np.array([width, height]) / anchor) / 2)
            place[4] = logit(np.array(0.99))
            place[5 + int(box[4])] = logit(np.array(box[5] / 0.99))
    return found


def decoded(arrays: list[np.ndarray]) -> np.ndarray:
    """(2, places, 5 + classes) in pixels, cell by cell."""
    tables = []
    for values, stride, anchors in zip(arrays, STRIDES, ANCHORS, strict=True):
        said = 1 / (1 + np.exp(-values))
        for anchor in range(3):
            for line in range(values.shape[2]):
                for column in range(values.shape[3]):
                    one = said[:, anchor, line, column].copy()
                    one[:, :2] = (2 * one[:, :2] - 0.5 + [column, line]) * stride
                    one[:, 2:4] = (2 * one[:, 2:4]) ** 2 * anchors[2 * anchor : 2 * anchor + 2]
                    tables.append(one)
    return np.stack(tables, 1)


def test_one_decoded_output() -> None:
    check("yolov5", {"output": decoded(maps())})


def test_shares_of_the_sides_become_pixels() -> None:
    values = decoded(maps())
    values[..., :4] /= [SIZE[1], SIZE[0]] * 2
    check("yolov5", {"output": values})


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_three_raw_maps_in_any_order(turned: bool, order: tuple[int, ...]) -> None:
    arrays = maps()
    if turned:  # (3 * (5 + classes), rows, columns)
        arrays = [v.transpose(0, 1, 4, 2, 3).reshape(2, -1, *v.shape[2:4]) for v in arrays]
    check("yolov5", {f"map{i}": arrays[i] for i in order})


def test_anchors_of_ones_own_and_too_few() -> None:
    arrays = maps()
    check("yolov5", {f"map{i}": each for i, each in enumerate(arrays)}, anchors=ANCHORS)
    with pytest.raises(Unfit, match=r"3 maps of strides .* anchors of 1: set task.anchors"):
        read("yolov5", {f"{i}": each for i, each in enumerate(arrays)}, About(SIZE, anchors=ANCHORS[:1]))
