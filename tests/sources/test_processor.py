"""Whether pictures are prepared as the model's own processor does it."""

from __future__ import annotations

from typing import Any

import pytest

from edgepipe.contract import Preprocessing
from edgepipe.sources.processor import differences

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DATA = Preprocessing(image_size=(224, 224), channels=3, interpolation="bilinear", mean=MEAN, std=STD)
SAME: dict[str, Any] = {
    "size": {"height": 224, "width": 224},
    "resample": 2,
    "rescale_factor": 1 / 255,
    "image_mean": list(MEAN),
    "image_std": list(STD),
}


@pytest.mark.parametrize(
    "own",
    [
        SAME,
        {**SAME, "size": 224},
        {**SAME, "size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}},
        {**SAME, "size": {"shortest_edge": 224}},
        {**SAME, "size": {"shortest_edge": 800, "longest_edge": 1333}},
        {"do_resize": False, "size": 99, "resample": 3},
        {},
    ],
)
def test_what_is_the_same_is_not_told(own: dict[str, Any]) -> None:
    assert differences(own, DATA) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": 384}, r"data.image_size is [224, 224], the model's [384, 384]"),
        ({"size": {"shortest_edge": 256}}, "data.image_size is [224, 224], the model's shorter side 256"),
        ({"resample": 3}, "data.interpolation is bilinear, the model's bicubic"),
        ({"image_mean": [0.5, 0.5, 0.5]}, "data.mean is [0.485, 0.456, 0.406], the model's [0.5, 0.5, 0.5]"),
        ({"image_std": [0.5] * 3}, "data.std is [0.229, 0.224, 0.225], the model's [0.5, 0.5, 0.5]"),
        ({"rescale_factor": 1}, "pixels are multiplied by 0.003922, the model's by 1 (data.scale)"),
    ],
)
def test_each_difference_is_told_with_the_setting(change: dict[str, Any], said: str) -> None:
    assert differences({**SAME, **change}, DATA) == [said]


def test_a_model_that_does_not_normalize_is_compared_too_and_arrays_are_not() -> None:
    said = differences({**SAME, "do_normalize": False}, DATA)
    assert [text.partition(" ")[0] for text in said] == ["data.mean", "data.std"]
    assert differences(SAME, Preprocessing()) == []
