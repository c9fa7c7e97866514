"""What arrays say is right is checked, and tells the task."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.data.labels import checked, task_of
from edgepipe.errors import DataError


@pytest.mark.parametrize(
    ("given", "task"),
    [
        (np.array([0, 2, 1], np.uint8), "classification"),
        (np.array([[0, 1], [1, 1], [0, 0]]), "multilabel"),
        (np.array([0.5, 1, 2]), "regression"),
        (np.zeros((3, 2), np.float16), "regression"),
    ],
)
def test_type_and_axes_tell_the_task(given: np.ndarray, task: str) -> None:
    found = checked("e.npz", "labels", given, 3)
    assert task_of(found) == task
    assert found.dtype == (np.float32 if task == "regression" else np.int64)
    assert len(found) == 3


def test_the_first_example_below_0_is_named() -> None:
    with pytest.raises(DataError, match=r"^e\.npz: y\[1\] is -4: labels count from 0"):
        checked("e.npz", "y", np.array([[0, 1], [-4, 1]]), 2)
