"""What a column of labels means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgepipe.data.table_labels import coded, names_of
from edgepipe.errors import DataError


@pytest.mark.parametrize(
    ("raw", "classes", "wanted"),
    [
        (["b", "a", "b"], None, [1, 0, 1]),
        (["1", "0"], None, [1, 0]),
        ([2, 0, True], None, [2, 0, 1]),
        (["pos", "neg"], ("pos", "neg"), [0, 1]),
        ([1, 0], ("pos", "neg"), [1, 0]),
        (["0.5", "2"], None, [[0.5], [2.0]]),
        ([0.25, -1], None, [[0.25], [-1.0]]),
        ([["x"], [], ["y", "x"]], None, [[1, 0], [0, 0], [1, 1]]),
        ([[0, 2], [1]], None, [[1, 0, 1], [0, 1, 0]]),
    ],
)
def test_labels_become_numbers(raw: list[Any], classes: tuple[str, ...] | None, wanted: list[Any]) -> None:
    names = names_of(raw) or () if classes is None else classes
    found = coded("data.train", "label", raw, names)
    assert found.tolist() == wanted
    assert found.dtype == (np.float32 if isinstance(wanted[0], list) and isinstance(wanted[0][0], float) else np.int64)


@pytest.mark.parametrize(
    ("raw", "classes", "said"),
    [
        (["a", None], ("a",), "row 1: `label` is empty"),
        (["a", ""], ("a",), "row 1: `label` is empty"),
        (["a", "c"], ("a", "b"), r"row 1: `label` is 'c', none of the classes \(a, b\): see data\.classes"),
        ([0, 2], ("a", "b"), "row 1: `label` is 2: classes count from 0 to 1"),
        ([-1], (), "row 0: `label` is -1"),
        ([0.5, 1], ("a", "b"), "numbers with a fraction"),
        ([float("nan")], (), "NaN or infinity"),
        ([["a"], "a"], ("a",), "row 1: `label` is no list"),
        ([[1 << 40]], (), "at most 100000"),
    ],
)
def test_labels_that_are_none_are_refused_with_their_row(raw: list[Any], classes: tuple[str, ...], said: str) -> None:
    with pytest.raises(DataError, match=f"^data.train: .*{said}"):
        coded("data.train", "label", raw, classes)
