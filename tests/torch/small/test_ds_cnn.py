"""Scores of a sound's features, however long it is."""

from __future__ import annotations

import pytest
import torch

from edgepipe.torch.small.ds_cnn import build


@pytest.mark.parametrize(("time", "frequency"), [(49, 10), (98, 40), (4, 4)])
def test_features_of_any_size_are_scored(time: int, frequency: int) -> None:
    assert build(1, 12, 8).eval()(torch.zeros(2, 1, time, frequency)).shape == (2, 12)
