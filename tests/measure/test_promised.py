"""A slip in a task is told with its name."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.contract import Figure
from edgepipe.errors import MeasureError
from edgepipe.measure.promised import classes_told, figures, share_alike
from edgepipe.tasks.regression import Regression

FOUND = {"r2": Figure(0.5), "mae": Figure(1.0, (0.9, 1.1))}


def test_figures_of_all_measures_are_taken_as_they_are() -> None:
    assert figures(Regression(), "measured", {**FOUND, "mae": (1.0, (0.9, 1.1))}) == FOUND
    assert figures(Regression(), "measured", {**FOUND, "r2": Figure(None)})["r2"].value is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"r2": Figure(0.5)}, r"measured\(\) gave \['r2'\], and its measures are \['mae', 'r2'\]"),
        (None, "gave NoneType"),
        ({**FOUND, "r2": Figure(float("nan"))}, "for 'r2', and not a Figure"),
        ({**FOUND, "r2": 0.5}, "for 'r2', and not a Figure"),
        ({**FOUND, "mae": Figure(1.0, (0.9, float("inf")))}, "for 'mae', and not a Figure"),
    ],
)
def test_what_is_no_figure_of_a_measure_is_refused_with_the_task(found: object, said: str) -> None:
    with pytest.raises(MeasureError, match=f"task Regression: .*{said}"):
        figures(Regression(), "measured", found)


def test_alike_is_a_truth_for_each_example() -> None:
    assert share_alike(Regression(), np.array([True, False]), 2) == 0.5
    for wrong in (True, np.array([1.0, 0.0]), np.array([True])):
        with pytest.raises(MeasureError, match=r"alike\(\) gave"):
            share_alike(Regression(), wrong, 2)


def test_what_is_told_of_classes_is_finite_numbers_by_title_and_class() -> None:
    assert classes_told(Regression(), {"IoU": {"road": np.float32(0.5)}}) == {"IoU": {"road": 0.5}}
    for wrong in ([0.5], {"IoU": 0.5}, {"IoU": {"road": float("nan")}}, {"IoU": {"road": None}}):
        with pytest.raises(MeasureError, match=r"by_class\(\) gave"):
            classes_told(Regression(), wrong)
