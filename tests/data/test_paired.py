"""A source of pictures with a second file as their label keeps the contract of data, whoever decodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgepipe.contract import Split
from edgepipe.data.mask_folder import MaskFolderData
from tests.data.test_mask_folder import folder


def test_labels_are_the_same_at_once_and_in_batches_with_any_number_of_workers(tmp_path: Path) -> None:
    root = folder(tmp_path / "r")
    found = []
    for workers in (0, 2):
        data = MaskFolderData(root=root, image_size=(12, 16), calibration_size=2, workers=workers).open(tmp_path)
        batches = list(data.batches(Split.TRAIN, 3))
        labels = np.concatenate([batch.labels for batch in batches if batch.labels is not None])
        assert np.array_equal(labels, data.labels(Split.TRAIN))
        found.append((labels.tobytes(), np.concatenate([batch.only for batch in batches]).tobytes()))
    assert found[0] == found[1]


def test_a_changed_mask_and_another_reading_change_the_digest(tmp_path: Path) -> None:
    def digest(root: Path, **more: object) -> str:
        settings = {"root": root, "image_size": 8, "calibration_size": 1, **more}
        return MaskFolderData(**settings).open(tmp_path / "c").digest(Split.EVALUATION)  # type: ignore[arg-type]

    one = digest(folder(tmp_path / "a"))
    assert one == digest(folder(tmp_path / "b"))
    assert one != digest(folder(tmp_path / "c", seed=1))
    assert one != digest(tmp_path / "a", ignore_index=1)
