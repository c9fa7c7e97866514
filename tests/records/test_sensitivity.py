"""The record of a study of layers is read as it was written."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgepipe.records.metrics import Environment
from edgepipe.records.sensitivity import LayerEffect, Sensitivity

HERE = Environment(edgepipe="", python="", platform="", cpu="", instruction_sets=[], cores=1, threads=1, libraries={})
LAYER = LayerEffect(name="conv1", operator="Conv", weight_shape=[8, 3, 3, 3], macs=9, error_share=1.0, alike=0.5)


def test_a_study_is_read_as_it_was_written_and_lists_are_not_shared() -> None:
    found = Sensitivity(
        recipe="r", examples=4, calibration_examples=8, label="quantize", layers=[LAYER], environment=HERE
    )
    assert Sensitivity.model_validate_json(found.model_dump_json()) == found
    assert found.layers is not Sensitivity.model_construct().pruned
    with pytest.raises(ValidationError, match="frozen"):
        found.layers = []  # type: ignore[misc]
