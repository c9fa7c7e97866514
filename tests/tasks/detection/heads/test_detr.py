from __future__ import annotations

import numpy as np
import pytest

from tests.tasks.detection.heads.layouts import check
from tests.tasks.detection.scenes import BOXES, CLASSES, SIZE, as_centres, logit

QUERIES = 50


def outputs(kind: str) -> dict[str, np.ndarray]:
    boxes = np.full((2, QUERIES, 4), 0.5)
    shares = np.full((2, QUERIES, CLASSES), 0.001)
    for row, table in enumerate(BOXES):
        for query, box in enumerate(table[table[:, 4] >= 0]):
            boxes[row, 7 + query] = as_centres(box[None, :4])[0] / ([SIZE[1], SIZE[0]] * 2)
            shares[row, 7 + query, int(box[4])] = box[5]
    if kind == "softmax":
        nothing = 1 - shares.sum(-1, keepdims=True)
        return {"logits": np.log(np.concatenate([shares, np.maximum(nothing, 1e-6)], -1)), "pred_boxes": boxes}
    return {"logits": logit(shares), "pred_boxes": boxes}


@pytest.mark.parametrize("classes", [CLASSES, 0, 80])
@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_a_class_of_nothing_or_scores_for_themselves(kind: str, classes: int) -> None:
    check("detr", outputs(kind), classes=classes)


def test_names_of_any_kind_where_there_are_two_outputs_and_others_beside_known_names() -> None:
    found = outputs("sigmoid")
    check("detr", {"b": found["pred_boxes"], "a": found["logits"]})
    check("detr", {**found, "encoder": np.zeros((2, 30, 256))})
