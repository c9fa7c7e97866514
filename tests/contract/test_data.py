"""Batches of named arrays."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.contract import Batch, DataSource, Split
from edgepipe.contract.data import as_numbers
from edgepipe.errors import DataError


def test_the_only_input_of_a_batch_is_an_array_and_of_several_a_sentence() -> None:
    one = Batch({"pixels": np.zeros((5, 3))})
    assert one.only.shape == (5, 3)
    assert (len(one), one.labels) == (5, None)
    two = Batch({"ids": np.zeros((4, 8)), "mask": np.ones((4, 8))}, np.arange(4))
    assert (len(two), list(two.inputs)) == (4, ["ids", "mask"])
    with pytest.raises(DataError, match=r"gives 2 inputs \('ids', 'mask'\), where only one is taken"):
        _ = two.only


def test_whoever_takes_the_inputs_for_an_array_is_told_the_line_to_change() -> None:
    with pytest.raises(AttributeError, match=r"write batch\.only"):
        _ = Batch({"pixels": np.zeros((5, 3))}).inputs.shape  # type: ignore[attr-defined]


def test_a_source_of_data_has_to_open_it() -> None:
    assert DataSource.__abstractmethods__ == {"open"}
    assert [str(split) for split in Split] == ["train", "calibration", "evaluation"]


def test_texts_are_their_code_points_for_training_and_numbers_stay() -> None:
    assert as_numbers(np.array(["ab", "\u00e9\U0001f600c"])).tolist() == [[97, 98, 0], [233, 0x1F600, 99]]
    assert as_numbers(np.arange(3)).tolist() == [0, 1, 2]
