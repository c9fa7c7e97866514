"""What a source of sound hands over beside its batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgepipe.contract import Split
from edgepipe.data import sound_features
from edgepipe.data.drawn_sound import DrawnSoundData


def test_a_bundle_gets_the_code_that_prepares_recordings(tmp_path: Path) -> None:
    data = DrawnSoundData(evaluation_size=3, train_size=3, calibration_size=1).open(tmp_path)
    assert data.files == {"sound_features.py": Path(sound_features.__file__).read_bytes()}  # type: ignore[attr-defined]


def test_the_digest_hangs_on_features_and_constants(tmp_path: Path) -> None:
    sizes = {"evaluation_size": 3, "train_size": 3, "calibration_size": 1}
    ways = [{}, {"features": "log_mel"}, {"constants": {"sr": 16000}}, {"constants": {"sr": 8000}}, {"mean": 0.1}]
    opened = [DrawnSoundData(**sizes, **way).open(tmp_path) for way in ways]
    assert len({data.digest(Split.EVALUATION) for data in opened}) == len(ways)
    batch = next(opened[2].batches(Split.EVALUATION, 2))
    assert batch.inputs["sr"].dtype == np.int64 and batch.inputs["sr"].tolist() == [16000, 16000]
