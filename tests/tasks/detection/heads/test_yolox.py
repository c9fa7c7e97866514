from __future__ import annotations

import numpy as np
import pytest

from edgepipe.tasks.detection.heads import About, Unfit, recognized
from tests.tasks.detection.heads.layouts import check
from tests.tasks.detection.scenes import centres, logit, placed


def outputs(kind: str) -> np.ndarray:
    """(2, places, 5 + classes), objectness 1 everywhere but at nothing."""
    boxes, scores = placed()
    middles, steps = centres()
    if kind == "raw":
        boxes = np.concatenate(
            [(boxes[..., :2] - middles) / steps[:, None] + 0.5, np.log(boxes[..., 2:] / steps[:, None])], -1
        )
    seen = np.sqrt(scores.max(-1, keepdims=True))
    return np.concatenate([boxes, seen, scores / seen], -1)


@pytest.mark.parametrize("kind", ["raw", "decoded"])
@pytest.mark.parametrize("activated", [True, False])
def test_offsets_or_pixels_logits_or_probabilities(kind: str, activated: bool) -> None:
    values = outputs(kind)
    if not activated:
        values[..., 4:] = logit(values[..., 4:])
    check("yolox", {"output": values})


def test_with_as_many_classes_as_would_be_the_other_layout_too_it_is_told_by_the_data() -> None:
    places = np.zeros((1, 252, 7), np.float32)
    assert recognized({"a": places}, About((96, 128), 2)) == "yolox"
    assert recognized({"a": places}, About((96, 128), 3)) == "yolov8"


def test_what_fits_nothing_is_refused_with_what_is_known() -> None:
    with pytest.raises(Unfit, match=r"outputs a \[251, 7\] of an input of 96x128 are of no head .*yolox: one output"):
        recognized({"a": np.zeros((1, 251, 7), np.float32)}, About((96, 128), 2))
