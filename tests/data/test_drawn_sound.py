"""Made sounds: of their kind, no two alike, and the same again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from edgepipe.contract import Split
from edgepipe.data.drawn_sound import KINDS, DrawnSoundData, drawn

SMALL = {"evaluation_size": 20, "train_size": 30, "calibration_size": 5, "samples": 2000, "sample_rate": 8000}


def test_kinds_are_the_labels_and_no_two_sounds_are_alike(tmp_path: Path) -> None:
    data = DrawnSoundData(**SMALL).open(tmp_path)
    assert data.signature.classes == KINDS
    assert np.bincount(data.labels(Split.EVALUATION)).tolist() == [2] * 10  # type: ignore[arg-type]
    (batch,) = data.batches(Split.TRAIN, 99)
    assert len({row.tobytes() for row in batch.only}) == 30
    assert np.abs(batch.only).max() <= 1


def test_a_rising_sound_rises_and_a_falling_one_falls() -> None:
    for row, sign in ((1, 1), (2, -1)):
        sound = drawn("signals", 0, row, 8000, 8000, 0.0)
        heard = np.flatnonzero(np.abs(sound) > 0.05 * np.abs(sound).max())
        parts = np.array_split(sound[heard[0] : heard[-1]], 4)
        first, last = (np.abs(np.fft.rfft(part)).argmax() / len(part) for part in (parts[0], parts[-1]))
        assert (last - first) * sign > 0


def test_notes_have_no_labels_and_steps_have_none_either(tmp_path: Path) -> None:
    data = DrawnSoundData(kind="notes", **SMALL).open(tmp_path)
    assert data.labels(Split.EVALUATION) is None and data.signature.task == "agreement"
    with pytest.raises(ValidationError, match="only kind=voice has labels of steps"):
        DrawnSoundData(step=500, state={"h": "hn"}, **SMALL)


def test_a_voice_is_labelled_where_it_is_loud(tmp_path: Path) -> None:
    steps = {"kind": "voice", "step": 500, "context": 20, "state": {"h": "hn"}, "constants": {"sr": 8000}}
    data = DrawnSoundData(**{**SMALL, "samples": 16000, "noise": 0.0}, **steps).open(tmp_path)
    assert (data.signature.task, data.signature.steps, data.signature.classes) == ("scores", 32, ("none", "voice"))
    (batch,) = data.batches(Split.EVALUATION, 99)
    assert batch.labels is not None and batch.labels.shape == (20, 32)
    assert 0.2 < batch.labels.mean() < 0.8
    loud = (batch.inputs["input"][..., 20:] ** 2).mean(axis=2)
    assert np.median(loud[batch.labels == 1]) > 1e-3
    assert (loud[batch.labels == 0] < 1e-4).mean() > 0.8
    whole = DrawnSoundData(kind="voice", **{**SMALL, "samples": 16000}).open(tmp_path)
    assert whole.labels(Split.EVALUATION).tolist() == (batch.labels.mean(axis=1) >= 0.5).tolist()  # type: ignore[union-attr]
