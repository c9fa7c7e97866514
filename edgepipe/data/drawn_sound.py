"""Sounds that are made here, so that what they are is known: signals of ten kinds, or notes; no download."""

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


class DrawnSoundData(SoundSettings):
    """Signals of ten kinds in noise (tones, chirps, beeps, clicks), of which the kind is the class; or notes.

    Notes are chords and melodies of up to three plucked voices, without labels: what a network answers is compared with
    what the float network answers.
    """

    kind: Literal["signals", "notes"] = Field("signals", description="signals: labelled by kind; notes: not labelled")
    evaluation_size: int = Field(400, ge=1, le=100_000, description="examples to measure with")
    train_size: int = Field(1000, ge=0, le=1_000_000, description="other examples, to train and calibrate with")
    noise: float = Field(0.02, ge=0, le=1, description="standard deviation of what is added to each sample")

    @model_validator(mode="after")
    def _no_steps(self) -> DrawnSoundData:
        if self.step is not None:
            raise ValueError("step: these sounds have no labels of steps: use data=audio_folder with segments")
        return self

    def open(self, cache: Path) -> Dataset:  # noqa: ARG002  made anew as fast as they would be read
        """Make and hash all sounds once."""
        import numpy as np

        from edgepipe.data.sounds import Sounds, SoundSource

        if self.calibration_size > self.train_size:
            raise DataError(f"data=drawn_sound: data.calibration_size={self.calibration_size} of {self.train_size}")
        count = self.evaluation_size + self.train_size
        signals = self.kind == "signals"

        def load(row: int) -> Samples:
            return drawn(self.kind, self.seed, row, self.samples, self.sample_rate, self.noise)

        hashes = [hashlib.sha256(load(row).tobytes()).hexdigest() for row in range(count)]
        labels = np.arange(count, dtype=np.int64) % len(KINDS) if signals else None
        pool = Sounds([f"drawn_sound[{row}]" for row in range(count)], labels, hashes, load)
        train = pool.take(np.arange(self.evaluation_size, count))
        views = {
            Split.TRAIN: train,
            Split.CALIBRATION: train.take(np.arange(self.calibration_size)),
            Split.EVALUATION: pool.take(np.arange(self.evaluation_size)),
        }
        signature = self.signature(KINDS if signals else (), "classification" if signals else "agreement")
        return SoundSource("data=drawn_sound", self, signature, views)


def drawn(kind: str, seed: int, row: int, count: int, rate: int, noise: float) -> Samples:
    """float32, (count,), in [-1, 1]; the same for the same arguments on every machine, but for the last bits."""
    import numpy as np

    number = int(hashlib.sha256(f"{seed} {row} {kind}".encode()).hexdigest()[:8], 16)
    how = np.random.RandomState(number)  # its stream stays as it is, which numpy's newer generators do not promise
    time = np.arange(count) / rate
    sound = _notes(how, time, rate) if kind == "notes" else _signal(how, row % len(KINDS), time, rate)
    sound = (0.3 + 0.6 * how.rand()) * sound / max(1e-9, float(np.abs(sound).max()))
    return np.asarray((sound + noise * how.standard_normal(count)).clip(-1, 1), np.float32)


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
