"""Something like speech: syllables of voiced vowels and hisses, with silence between, and when it is heard."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
    (660, 1720, 2410),
    (440, 1020, 2240),
)
"""Hz of the first three formants. Source: Peterson and Barney, JASA 24 (1952), table II, men."""
_WIDTHS = (60, 90, 120)
"""Hz, of the formants."""
_LEAST = 10
"""Samples of a syllable that is heard at all."""


class Voice(NamedTuple):
    """float64 samples, and whether somebody speaks there, bool; (count,) each."""

    samples: NDArray[np.float64]
    spoken: NDArray[np.bool_]


def voice(how: np.random.RandomState, count: int, rate: int) -> Voice:
    """One speaker's words of one to four syllables, half a second to two of silence between them.

    A train of pulses, and a little breath, through three resonances that glide from vowel to vowel.
    Source: Klatt, Software for a cascade/parallel formant synthesizer, JASA 67 (1980).
    """
    found, spoken = np.zeros(count), np.zeros(count, np.bool_)
    base, at = 90 * 2.2 ** how.rand(), 0.1 + how.rand()
    while int(at * rate) < count:
        begun = int(at * rate)
        for _ in range(1 + how.randint(4)):
            lasts, start = 0.12 + 0.18 * how.rand(), int(at * rate)
            part = found[start : start + int(lasts * rate)]
            if len(part) < _LEAST:
                break
            part += (0.6 + 0.4 * how.rand()) * _syllable(how, base, len(part), lasts, rate)
            at += lasts + 0.01
            if how.rand() < 0.5:
                hiss = found[start + len(part) : start + len(part) + int(0.06 * rate)]
                hiss += 0.08 * np.diff(how.standard_normal(len(hiss)), prepend=0)
                at += 0.06
        spoken[begun : int(at * rate)] = True
        at += 0.5 + 1.5 * how.rand()
    return Voice(found, spoken)


def _syllable(how: np.random.RandomState, base: float, count: int, lasts: float, rate: int) -> NDArray[np.float64]:
    time = np.arange(count) / rate
    pitch = base * (1 + 0.15 * np.sin(2 * np.pi * how.rand() + 3 * time)) * (1 + 0.02 * how.standard_normal())
    turns = np.cumsum(pitch * np.linspace(1.08, 0.92, count)) / rate
    source = np.diff(np.floor(turns), prepend=0) + 1e-3 * how.standard_normal(count)
    first, second = (_resonant(source, _VOWELS[how.randint(len(_VOWELS))], rate) for _ in range(2))
    glide = np.linspace(0, 1, count)
    wave = np.diff(first * (1 - glide) + second * glide, prepend=0)
    wave = wave * np.minimum(1, np.minimum(time / 0.03, (lasts - time) / 0.05).clip(0))
    return np.asarray(wave / max(1e-9, float(np.abs(wave).max())))


def _resonant(source: NDArray[np.float64], formants: tuple[int, ...], rate: int) -> NDArray[np.float64]:
    """The source through a fall of 6 dB an octave and one resonance of second order for each formant."""
    size = 2 * len(source)
    back = np.exp(-1j * np.arange(size // 2 + 1) * 2 * np.pi / size)
    response = 1 / (1 - 0.95 * back)
    for formant, width in zip(formants, _WIDTHS, strict=True):
        if formant < rate / 2:
            radius, turn = np.exp(-np.pi * width / rate), 2 * np.pi * formant / rate
            response *= (1 - radius) / (1 - 2 * radius * np.cos(turn) * back + (radius * back) ** 2)
    return np.asarray(np.fft.irfft(np.fft.rfft(source, size) * response, size)[: len(source)])
