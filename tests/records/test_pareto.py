"""Which points no other one beats."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgepipe.records.pareto import on_front

POINTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=8)


def test_a_point_that_is_worse_in_one_and_better_in_nothing_is_beaten() -> None:
    assert on_front([(0.9, 5.0), (0.9, 6.0), (0.8, 4.0)], (True, False)) == [True, False, True]


def test_equal_points_stay_together_and_none_are_no_points() -> None:
    assert on_front([(0.9, 5.0), (0.9, 5.0)], (True, False)) == [True, True]
    assert on_front([], (True, False)) == []


@given(POINTS)
def test_every_beaten_point_is_beaten_by_one_of_the_front(points: list[tuple[int, int]]) -> None:
    best = on_front(points, (True, False))
    front = [point for point, kept in zip(points, best, strict=True) if kept]
    for (quality, cost), kept in zip(points, best, strict=True):
        better = [one for one in front if one[0] >= quality and one[1] <= cost and one != (quality, cost)]
        assert bool(better) != kept
