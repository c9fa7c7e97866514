"""Shapes that settings of sound promise are those that come."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.contract import Split
from edgepipe.data.drawn_sound import DrawnSoundData


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({}, (2000,)),
        ({"channel": "last"}, (2000, 1)),
        ({"features": "log_mel", "n_fft": 256, "hop": 100}, (1, 18, 40)),
        ({"features": "log_mel", "n_fft": 255, "hop": 100, "center": True}, (1, 20, 40)),
        ({"features": "log_mel", "n_fft": 256, "axes": "mels_frames", "channel": "none", "n_mels": 8}, (8, 11)),
    ],
)
def test_inputs_have_the_shape_of_the_signature(
    settings: dict[str, object], shape: tuple[int, ...], tmp_path: Path
) -> None:
    sizes = {"evaluation_size": 2, "train_size": 2, "calibration_size": 1, "samples": 2000, "sample_rate": 8000}
    data = DrawnSoundData(**sizes, **settings).open(tmp_path)
    assert data.signature.input_shape == shape
    assert next(data.batches(Split.EVALUATION, 2)).only.shape == (2, *shape)
