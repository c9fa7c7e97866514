"""What is drawn: boxes around what the mask says, the same each time."""

from __future__ import annotations

import numpy as np

from edgepipe.data.shapes import MOST_SHAPES, draw


def test_every_box_is_tight_around_its_shape() -> None:
    kinds = set()
    for number in range(40):
        found = draw(0, False, number, 48, 64)
        rest = found.mask.copy()
        for x1, y1, x2, y2, kind, ignored in found.boxes[found.boxes[:, 4] >= 0].astype(int):
            part = found.mask[y1:y2, x1:x2] == kind + 1
            assert part.any(0)[[0, -1]].all()
            assert part.any(1)[[0, -1]].all()
            rest[y1:y2, x1:x2][part] = 0
            kinds.add(kind)
            assert ignored == 0
        assert not rest.any()  # no shape without a box
        assert 1 <= (found.boxes[:, 4] >= 0).sum() <= MOST_SHAPES
    assert kinds == {0, 1, 2}


def test_pictures_differ_by_seed_number_and_split_alone() -> None:
    one = draw(0, False, 3, 32, 32)
    assert np.array_equal(one.pixels, draw(0, False, 3, 32, 32).pixels)
    for other in (draw(1, False, 3, 32, 32), draw(0, True, 3, 32, 32), draw(0, False, 4, 32, 32)):
        assert not np.array_equal(one.pixels, other.pixels)


def test_a_shape_can_be_told_from_the_ground() -> None:
    found = draw(0, False, 3, 64, 64)
    inside = found.pixels[found.mask > 0].mean(axis=0)
    outside = found.pixels[found.mask == 0].mean(axis=0)
    assert np.abs(inside - outside).max() > 20
