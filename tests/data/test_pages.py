"""What is drawn: lines that differ from their paper, and a mask inside of them."""

from __future__ import annotations

import numpy as np

from edgepipe.data.drawn_pages import DrawnPagesData
from edgepipe.data.pages import page


def test_the_mask_lies_where_letters_are_and_shrinks() -> None:
    how = DrawnPagesData(noise=0, shrink=1)
    for number in range(4):
        pixels, whole = page(how, True, number, 240, 320)
        assert 0.02 < whole.mean() < 0.7
        ink = np.abs(np.diff(pixels.astype(int), axis=1)).max(axis=2) > 60
        assert ink[whole[:, 1:] > 0].mean() > 5 * max(ink[whole[:, 1:] == 0].mean(), 1e-4)
        same, inner = page(how.model_copy(update={"shrink": 0.5}), True, number, 240, 320)
        assert np.array_equal(same, pixels)
        assert not (inner & ~whole & 1).any()
        assert 0.1 * whole.sum() < inner.sum() < 0.8 * whole.sum()


def test_pages_differ_by_seed_number_and_split_alone() -> None:
    how = DrawnPagesData()
    one = page(how, False, 3, 96, 128)[0]
    assert np.array_equal(one, page(how, False, 3, 96, 128)[0])
    for other in (
        page(how, True, 3, 96, 128),
        page(how, False, 4, 96, 128),
        page(DrawnPagesData(seed=1), False, 3, 96, 128),
    ):
        assert not np.array_equal(one, other[0])
