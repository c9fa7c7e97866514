"""What settings of lines are refused, and what is recorded of them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgepipe.data.drawn_text import DrawnTextData


def test_the_recorded_preprocessing_says_all_that_a_device_has_to_do() -> None:
    found = DrawnTextData(channels=3, mean=(0.5,), std=(0.4, 0.5, 0.6)).preprocessing
    assert (found.image_size, found.fit, found.order) == ((48, 320), "line_free", "bgr")
    assert (found.mean, found.std) == ((0.5, 0.5, 0.5), (0.4, 0.5, 0.6))
    grey = DrawnTextData(channels=1, longer="squeeze").preprocessing
    assert (grey.fit, grey.order, grey.mean) == ("line", "rgb", (0.5,))


@pytest.mark.parametrize("settings", [{"mean": (0.5, 0.5)}, {"std": (0.0,)}, {"height": 0}])
def test_values_that_do_not_fit_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DrawnTextData(**settings)
