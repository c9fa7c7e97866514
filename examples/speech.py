"""Recordings of words, mixed into longer ones with silence and noise between: data for a detector of voice.

    python examples/speech.py --words fsdd --out speech
    edgepipe recipe=voice_activity_int8 data=audio_folder data.root=speech data.segments=speech.csv \
        data.other_rates=resample

WORDS holds `train` and `test` with a folder of .wav for each word, as the Free Spoken Digit Dataset does; OUT gets
`train` and `test` with recordings of 16 seconds, and `speech.csv` with what is spoken when.
"""

from __future__ import annotations

import argparse
import csv
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SECONDS = 16.0
LOUDEST = 0.5
HISS = 0.003


def main() -> None:
    """Mix both splits, each of its own words."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--words", type=Path, required=True, help="folder with train/WORD/*.wav and test/WORD/*.wav")
    parser.add_argument("--out", type=Path, default=Path("speech"), help="default: %(default)s")
    parser.add_argument("--train", type=int, default=20, help="recordings (default: %(default)s)")
    parser.add_argument("--test", type=int, default=40, help="recordings (default: %(default)s)")
    args = parser.parse_args()
    drawn = np.random.RandomState(0)
    rows: list[tuple[str, str, str]] = []
    for split, count in (("train", args.train), ("test", args.test)):
        words = sorted((args.words / split).rglob("*.wav"))
        if not words:
            raise SystemExit(f"error: {args.words / split}: no .wav in it")
        (args.out / split).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            name = f"{split}/{number:03}.wav"
            rows += [(name, f"{start:.3f}", f"{end:.3f}") for start, end in mixed(words, args.out / name, drawn)]
    with (args.out / "speech.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("file", "start", "end"), *rows])


def mixed(words: list[Path], out: Path, drawn: np.random.RandomState) -> list[tuple[float, float]]:
    """Write one recording; seconds from where to where each of its words is heard."""
    parts: list[NDArray[np.float64]] = []
    spans, at, rate = [], 0.0, read(words[0])[1]
    while at < SECONDS:
        gap = int((0.4 + 1.6 * drawn.rand()) * rate)
        samples, found = read(words[drawn.randint(len(words))])
        if found != rate:
            raise SystemExit(f"error: {words[0]} has {rate} samples a second, another {found}")
        parts += [np.zeros(gap), samples * LOUDEST / max(1e-3, float(np.abs(samples).max()))]
        spans.append((at + gap / rate, at + (gap + len(samples)) / rate))
        at = spans[-1][1]
    whole = np.concatenate(parts)
    whole += HISS * drawn.standard_normal(len(whole))
    with wave.open(str(out), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((whole.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return spans


def read(path: Path) -> tuple[NDArray[np.float64], int]:
    """Samples in [-1, 1] of a 16-bit recording with one channel, and how many of them are a second."""
    with wave.open(str(path)) as file:
        if (file.getnchannels(), file.getsampwidth()) != (1, 2):
            raise SystemExit(f"error: {path}: give 16-bit recordings with one channel")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768, file.getframerate()


if __name__ == "__main__":
    main()
