"""Sounds that are made here, so that what they are is known: signals of ten kinds, notes, or voices; no download."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from edgepipe.contract import Dataset, Split
from edgepipe.data.sound_settings import SoundSettings
from edgepipe.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgepipe.data.sounds import Samples

KINDS = ("tone", "rising", "falling", "warble", "two beeps", "three beeps", "clicks", "noise", "buzz", "nothing")
ABOUT = {"signals": (KINDS, "classification"), "notes": ((), "agreement"), "voice": (("none", "voice"), "scores")}
"""Classes and task of each kind."""


class DrawnSoundData(SoundSettings):
    """Signals of ten kinds in noise (tones, chirps, beeps, clicks), of which the kind is the class, notes, or voices.

    Notes are chords and melodies of up to three plucked voices, without labels: what a network answers is compared with
    what the float network answers. A voice speaks words of vowels and hisses with silence between them; what is right
    is, of each step, whether it speaks in at least half of it (without steps, of each example).
    """

    kind: Literal["signals", "notes", "voice"] = Field(
        "signals", description="signals: labelled by kind; notes: not labelled; voice: labelled where it speaks"
    )
    evaluation_size: int = Field(400, ge=1, le=100_000, description="examples to measure with")
    train_size: int = Field(1000, ge=0, le=1_000_000, description="other examples, to train and calibrate with")
    noise: float = Field(0.02, ge=0, le=1, description="standard deviation of what is added to each sample")

    @model_validator(mode="after")
    def _no_steps(self) -> DrawnSoundData:
        if self.step is not None and self.kind != "voice":
            raise ValueError(
                "step: of these sounds only kind=voice has labels of steps; or data=audio_folder, segments"
            )
        return self

    def open(self, cache: Path) -> Dataset:  # noqa: ARG002  made anew as fast as they would be read
        """Make and hash all sounds once."""
        import numpy as np

        from edgepipe.data.sounds import Sounds, SoundSource

        if self.calibration_size > self.train_size:
            raise DataError(f"data=drawn_sound: data.calibration_size={self.calibration_size} of {self.train_size}")
        count = self.evaluation_size + self.train_size

        def load(row: int) -> Samples:
            return drawn(self.kind, self.seed, row, self.samples, self.sample_rate, self.noise)

        hashes = [hashlib.sha256(load(row).tobytes()).hexdigest() for row in range(count)]
        classes, task = ABOUT[self.kind]
        labels = None
        if self.kind == "signals":
            labels = np.arange(count, dtype=np.int64) % len(KINDS)
        elif self.kind == "voice":
            how = (self.samples, self.sample_rate, self.step)
            labels = np.stack([spoken(self.seed, row, *how) for row in range(count)])
        pool = Sounds([f"drawn_sound[{row}]" for row in range(count)], labels, hashes, load)
        train = pool.take(np.arange(self.evaluation_size, count))
        views = {
            Split.TRAIN: train,
            Split.CALIBRATION: train.take(np.arange(self.calibration_size)),
            Split.EVALUATION: pool.take(np.arange(self.evaluation_size)),
        }
        return SoundSource("data=drawn_sound", self, self.signature(classes, task), views)


def drawn(kind: str, seed: int, row: int, count: int, rate: int, noise: float) -> Samples:
    """float32, (count,), in [-1, 1]; the same for the same arguments on every machine, but for the last bits."""
    import numpy as np

    how = _generator(seed, row, kind)
    time = np.arange(count) / rate
    if kind == "voice":
        from edgepipe.data.drawn_voice import voice

        sound = voice(how, count, rate).samples
    else:
        sound = _notes(how, time, rate) if kind == "notes" else _signal(how, row % len(KINDS), time, rate)
    sound = (0.3 + 0.6 * how.rand()) * sound / max(1e-9, float(np.abs(sound).max()))
    return np.asarray((sound + noise * how.standard_normal(count)).clip(-1, 1), np.float32)


def _generator(seed: int, row: int, kind: str) -> np.random.RandomState:
    """Of a stream that stays as it is, which numpy's newer generators do not promise."""
    import numpy as np

    return np.random.RandomState(int(hashlib.sha256(f"{seed} {row} {kind}".encode()).hexdigest()[:8], 16))


def spoken(seed: int, row: int, count: int, rate: int, step: int | None) -> NDArray[np.int64]:
    """1 where a voice speaks in at least half of a step, (count / step,); without steps of all, ()."""
    import numpy as np

    from edgepipe.data.drawn_voice import voice

    speaks = voice(_generator(seed, row, "voice"), count, rate).spoken
    found = np.asarray(speaks.reshape(-1, step or count).mean(axis=1) >= 0.5, np.int64)
    return np.asarray(found[0] if step is None else found)


def _signal(how: np.random.RandomState, kind: int, time: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    import numpy as np

    length = float(time[-1]) + 1 / rate
    start, lasts = 0.25 * length * how.rand(), length * (0.4 + 0.3 * how.rand())
    at = (time - start) / lasts
    inside = (at >= 0) & (at < 1)
    pitch = 300 * 4 ** how.rand() * min(1.0, rate / 8000)
    beeps = {4: 2, 5: 3}.get(kind, 1)
    turns = {1: at * (1 + at), 2: at * (3 - at), 3: at + 0.02 * np.sin(2 * np.pi * 6 * at)}.get(kind, at)
    wave = np.sin(2 * np.pi * pitch * lasts * turns + 2 * np.pi * how.rand())
    if kind == 6:
        wave = np.exp(-40 * ((8 * at) % 1.0))
    elif kind == 7:
        wave = how.standard_normal(len(time)) / 3
    elif kind == 8:
        wave = np.sign(wave) * 0.7
    elif kind == 9:
        return 1e-3 * how.standard_normal(len(time)) * (time >= 0) + 1e-12
    gate = ((at * beeps) % 1.0 < 0.6) if beeps > 1 else True
    return wave * inside * gate


def _notes(how: np.random.RandomState, time: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    import numpy as np

    found, length = np.zeros(len(time)), float(time[-1])
    for _ in range(3 + how.randint(6)):
        pitch = 440 * 2 ** ((how.randint(40, 80) - 69) / 12)
        start, lasts = length * 0.9 * how.rand(), 0.2 + 1.2 * how.rand()
        at = np.maximum(time - start, 0)
        shape = np.minimum(1, at / 0.01) * np.exp(-3 * at / lasts) * (time >= start) * (at < lasts)
        for overtone in range(1, 7):
            if overtone * pitch < rate / 2:
                found += shape * np.sin(2 * np.pi * overtone * pitch * at) / overtone**1.5
    return found
