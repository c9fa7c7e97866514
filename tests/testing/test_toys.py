"""The toys are the same each time, and run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgepipe.contract import Split
from edgepipe.onnx.session import Session
from edgepipe.testing.toys import CLASSES, ToyData, classifier, onnx_artifact, torch_artifact, two_ends


def test_toys_are_the_same_each_time(tmp_path: Path) -> None:
    for make in (onnx_artifact, torch_artifact):
        assert make(tmp_path / f"{make.__name__}1").digest == make(tmp_path / f"{make.__name__}2").digest
    assert ToyData().digest(Split.TRAIN) == ToyData().digest(Split.TRAIN)


def test_toys_answer_what_they_say(tmp_path: Path) -> None:
    batch = next(ToyData().batches(Split.EVALUATION, 5))
    assert Session(classifier(tmp_path / "c.onnx")).ask(batch.inputs)["scores"].shape == (5, CLASSES)
    ones = np.ones((2, 4), np.float32)
    found = Session(two_ends(tmp_path / "t.onnx")).ask({"left": ones, "right": ones})
    assert np.array_equal(found["sum"], 2 * ones)
    assert found["product"].shape == (2, 3)
