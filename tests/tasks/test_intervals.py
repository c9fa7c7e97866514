from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepipe.errors import MeasureError
from edgepipe.tasks.intervals import newcombe, wilson

counts = st.integers(0, 400)


def test_wilson_of_857_in_1000_is_the_published_formula() -> None:
    assert wilson(857, 1000) == pytest.approx((0.83395, 0.87732), abs=1e-4)


def test_wilson_of_no_successes_in_ten_ends_at_0_278() -> None:
    low, high = wilson(0, 10)
    assert low == 0.0
    assert high == pytest.approx(0.2775, abs=1e-4)


@given(st.integers(1, 10_000), st.data())
def test_wilson_holds_the_share_inside_zero_and_one(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    mirrored = wilson(trials - successes, trials)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-9)


@given(st.integers(1, 1000), st.integers(2, 20))
def test_wilson_narrows_with_more_examples(successes: int, factor: int) -> None:
    low, high = wilson(successes, 2 * successes)
    more_low, more_high = wilson(factor * successes, factor * 2 * successes)
    assert more_high - more_low < high - low


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 5)])
def test_an_impossible_share_is_refused(successes: int, trials: int) -> None:
    with pytest.raises(MeasureError, match=f"no share of {successes} in {trials}"):
        wilson(successes, trials)


@given(counts, counts, counts, counts.map(lambda n: n + 1))
def test_newcombe_holds_the_drop_and_mirrors_when_models_swap(both: int, lost: int, won: int, neither: int) -> None:
    n = both + lost + won + neither
    low, high = newcombe(both, lost, won, neither)
    assert -1 - 1e-9 <= low <= (lost - won) / n <= high <= 1 + 1e-9
    assert newcombe(both, won, lost, neither) == pytest.approx((-high, -low), abs=1e-9)


def test_pairing_makes_the_interval_narrower_than_two_samples() -> None:
    low, high = newcombe(both=850, lost=10, won=5, neither=135)
    assert (high - low) / 2 < 0.01  # two independent samples of 1000 at 0.86 give 0.030
    assert low < 0 < high
