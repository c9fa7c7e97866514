"""Labels of a user's loader are as a task takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgepipe.contract import Split
from tests.data.loaders import loaded


def test_labels_are_as_the_task_takes_them(tmp_path: Path) -> None:
    masks, boxes, numbers = (loaded(name).open(tmp_path) for name in ("masks", "boxes", "arrays"))
    found = masks.labels(Split.EVALUATION)
    assert found is not None and (found.shape, found.dtype) == ((6, 4, 4), np.uint8)
    assert masks.signature.task == "segmentation"
    found = boxes.labels(Split.EVALUATION)
    assert found is not None and (found.shape, found.dtype) == ((4, 2, 6), np.float32)
    assert found[:, :, 4].tolist() == [[-1, -1], [1, -1], [2, 2], [-1, -1]]
    found = numbers.labels(Split.EVALUATION)
    assert found is not None and found.shape == (9, 1)
