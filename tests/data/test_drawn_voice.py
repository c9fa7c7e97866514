"""Drawn voices: harmonics of a pitch, the formants of vowels, silence between words."""

from __future__ import annotations

import numpy as np

from edgepipe.data.drawn_voice import voice


def test_it_speaks_part_of_the_time_and_is_silent_between() -> None:
    found = voice(np.random.RandomState(0), 10 * 16000, 16000)
    assert found.samples.shape == found.spoken.shape == (160000,)
    assert 0.15 < found.spoken.mean() < 0.7
    assert np.abs(np.diff(found.spoken.astype(int))).sum() >= 6  # several words
    assert not found.samples[~found.spoken].any()
    assert np.array_equal(found.samples, voice(np.random.RandomState(0), 160000, 16000).samples)


def test_vowels_have_most_of_their_power_where_formants_lie() -> None:
    found = voice(np.random.RandomState(3), 8 * 16000, 16000)
    power = np.abs(np.fft.rfft(found.samples)) ** 2
    hertz = np.fft.rfftfreq(len(found.samples), 1 / 16000)
    within = power[(hertz > 80) & (hertz < 3500)].sum() / power.sum()
    assert within > 0.8


def test_any_length_and_rate_is_taken() -> None:
    for count, rate in ((1, 8000), (3000, 1000), (40000, 44100)):
        found = voice(np.random.RandomState(1), count, rate)
        assert len(found.samples) == count and np.isfinite(found.samples).all()
