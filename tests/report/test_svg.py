"""Axes of the drawn lines."""

from __future__ import annotations

import re

import pytest

from edgepipe.report.svg import lines


@pytest.mark.parametrize(("last", "wanted"), [(1, ["1"]), (2, ["1", "2"]), (3, ["1", "2", "3"]), (20, None)])
def test_epochs_are_counted_in_whole_numbers(last: int, wanted: list[str] | None) -> None:
    drawn = lines({"loss": [(float(n), 1 / n) for n in range(1, last + 1)]}, x_title="epoch", y_title="loss")
    ticks = re.findall(r'y="212" class="tick">([^<]*)<', drawn)
    assert all(float(tick).is_integer() for tick in ticks)
    assert ticks == wanted or (wanted is None and len(ticks) >= 4)


def test_other_axes_may_have_fractions() -> None:
    drawn = lines({"front": [(0.1, 1.0), (0.4, 2.0)]}, x_title="ms", y_title="top-1")
    ticks = re.findall(r'y="212" class="tick">([^<]*)<', drawn)
    assert len(ticks) >= 3 and not all(float(tick).is_integer() for tick in ticks)
