"""The contract of a place."""

from __future__ import annotations

import numpy as np

from edgepipe.contract import Place, PlaceAnswers


def test_a_place_says_what_is_lacking_and_which_processors_it_has() -> None:
    assert Place.__abstractmethods__ == {"lacking", "processors"}
    assert not Place.installs
    answers = PlaceAnswers({"scores": np.zeros((2, 3))}, "runtime 1")
    assert answers.milliseconds == []
