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
        (np.array(["ab", "", "c d"]), "ctc_text"),
    ],
)
def test_type_and_axes_tell_the_task(given: np.ndarray, task: str) -> None:
    found = checked("e.npz", "labels", given, 3)
    assert task_of(found) == task
    kinds = {"regression": np.float32, "ctc_text": given.dtype}
    assert found.dtype == kinds.get(task, np.int64)
    assert len(found) == 3


def test_parts_of_an_example_may_be_left_out() -> None:
    frames = np.array([[0, 1, -1], [-100, 0, 1]])
    assert checked("e.npz", "labels", frames, 2).tolist() == frames.tolist()
    with pytest.raises(DataError, match=r"labels\[1\] is -1"):
        checked("e.npz", "labels", np.array([0, -1]), 2)


def test_the_first_example_below_0_is_named() -> None:
    with pytest.raises(DataError, match=r"^e\.npz: y\[1\] is -4: labels count from 0"):
        checked("e.npz", "y", np.array([[0, 1], [-4, 1]]), 2)
