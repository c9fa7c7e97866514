"""Numbers: errors, variance explained, paired differences."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.errors import MeasureError
from edgepipe.tasks.regression import Regression
from tests.tasks.drawn import DRAWN, SIGNATURE, answers


def test_numbers_have_an_error_a_share_of_variance_and_paired_differences() -> None:
    task = Regression()
    truth = DRAWN.normal(size=(400, 2)).astype(np.float32)
    near, far = truth + np.float32(0.1), truth + DRAWN.normal(size=(400, 2)).astype(np.float32)
    targets = task.targets(truth, SIGNATURE)
    measured = task.measured(answers(task, near), targets)
    assert measured["mae"].value == pytest.approx(0.1, rel=1e-4)
    assert measured["r2"].value == pytest.approx(0.99, abs=2e-3)
    assert measured["r2"].ci95 is not None
    assert measured["r2"].ci95[0] < 0.99 < measured["r2"].ci95[1] + 1e-3
    compared = task.compared(answers(task, far), answers(task, near), targets)
    assert compared["mae"].value == pytest.approx(0.7, abs=0.1)
    assert compared["r2"].value == pytest.approx(1.0, abs=0.2)
    assert task.alike(answers(task, near), answers(task, near)).all()
    with pytest.raises(MeasureError, match="gives 2 values for an example, compared with 1"):
        task.measured(answers(task, near), task.targets(truth[:, 0], SIGNATURE))
