"""What every task has without writing it."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.contract import Measure, Task
from edgepipe.errors import MeasureError
from edgepipe.tasks.embedding import Embedding


def test_a_measure_names_its_change_and_shows_values_in_its_unit() -> None:
    share = Measure("f1", "F1", "higher", "", unit="share")
    assert (share.change_name, share.text(0.5), share.change_text(0.013)) == ("f1_drop", "50.00%", "+1.30 points")
    plain = Measure("mae", "MAE", "lower", "")
    assert [plain.text(value) for value in (0.0, 0.5, 0.000125, 4321.5)] == ["0.0000", "0.5000", "0.000125", "4322"]
    error = Measure("mae", "MAE", "lower", "", unit="mm")
    assert (error.change_name, error.text(1.25), error.change_text(-0.5)) == ("mae_rise", "1.25 mm", "-0.5 mm")
    plain = Measure("r2", "R2", "higher", "", change="r2_lost")
    assert (plain.change_name, plain.text(0.98765), plain.change_text(0.1)) == ("r2_lost", "0.9877", "+0.1000")


def test_answers_of_batches_are_joined_counted_and_checked_by_their_first_axis() -> None:
    task = Embedding()
    parts = [{"values": np.ones((3, 2), np.float32)}, {"values": np.zeros((1, 2), np.float32)}]
    joined = task.join(parts)
    assert task.count(joined) == 4
    assert task.possible(joined, 4)
    assert not task.possible(joined, 3)
    assert not task.possible({"values": np.full((4, 2), np.nan)}, 4)
    assert not task.possible({}, 0)


def test_answers_of_another_shape_for_each_example_are_refused_with_the_task_that_takes_them() -> None:
    parts = [{"values": np.ones((1, size), np.float32)} for size in (2, 3)]
    with pytest.raises(MeasureError, match="set task=agreement"):
        Embedding().join(parts)


def test_a_task_that_does_not_train_says_so() -> None:
    assert not Embedding.trains
    with pytest.raises(NotImplementedError, match=r"Embedding\.loss"):
        Embedding().loss(None, None)
    assert Task.__abstractmethods__ == {"targets", "answers", "measured", "compared", "alike"}
