"""From a recording to a network's input. Imports numpy alone: a bundle gets a copy of this file, and does the same.

Runs on Python 3.9 too. Sums are taken in float64 and handed over as float32, so that the order in which a machine adds
does not show.
"""

from __future__ import annotations

import io
import math
import wave
from typing import Any

import numpy as np

MOST_SECONDS = 3600
"""Of one recording; more is likely a slip, and would fill the memory."""
MOST_RATE = 768_000
ZEROS = 16
"""Zero crossings of the resampling filter on each side."""


class BadSound(ValueError):
    """A sentence on what is wrong with a recording."""


def read_sound(content: bytes) -> tuple[np.ndarray, int]:
    """float32 samples in [-1, 1], channels averaged, (n,), and samples a second.

    PCM in a .wav is read by the standard library, whole numbers divided by their range; everything else by soundfile.

    Raises:
        BadSound: it cannot be read, or is unreasonably long.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            channels, width, rate, count = (
                file.getnchannels(),
                file.getsampwidth(),
                file.getframerate(),
                file.getnframes(),
            )
            _check(channels, rate, min(count, len(content)))
            raw = file.readframes(count)
    except (wave.Error, EOFError, RuntimeError, OverflowError, ZeroDivisionError):
        return _by_soundfile(content)
    if width not in (1, 2, 3, 4):
        raise BadSound(f"samples of {width} bytes")
    raw = raw[: len(raw) // (width * channels) * width * channels]
    if width == 1:
        values = np.frombuffer(raw, np.uint8).astype(np.float64) - 128
    elif width == 3:
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        values = wide.view("<i4")[:, 0].astype(np.float64) / 256
    else:
        values = np.frombuffer(raw, f"<i{width}").astype(np.float64)
    return _mono(values.reshape(-1, channels) / 2.0 ** (8 * width - 1), rate)


def _by_soundfile(content: bytes) -> tuple[np.ndarray, int]:
    try:
        import soundfile  # type: ignore[import-untyped,unused-ignore]
    except (ImportError, OSError):
        raise BadSound("no PCM .wav, and other files need soundfile: pip install soundfile") from None
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            _check(file.channels, file.samplerate, max(0, file.frames))
            values = file.read(MOST_SECONDS * file.samplerate, dtype="float64", always_2d=True)
            return _mono(values, int(file.samplerate))
    except BadSound:
        raise
    except Exception as error:  # libsndfile and its wrapper raise what they happen to stumble over
        raise BadSound(f"not a readable recording ({' '.join(str(error).split())[:200]})") from None


def _check(channels: int, rate: int, count: int) -> None:
    if not (0 < rate <= MOST_RATE and 0 < channels <= 64):
        raise BadSound(f"{channels} channels at {rate} samples a second")
    if count > MOST_SECONDS * rate:
        raise BadSound(f"longer than {MOST_SECONDS} seconds: cut it")


def _mono(values: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    found = values.mean(axis=1)
    if not np.isfinite(found).all():
        raise BadSound("holds NaN or infinite samples")
    return found.astype(np.float32), rate


def resampled(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """float32, (round up of n * wanted / rate,): at another rate, through a sinc in a Hann window of 16 zero crossings.

    Source: Smith, Digital Audio Resampling, https://ccrma.stanford.edu/~jos/resample/.
    """
    if rate == wanted or not len(samples):
        return samples
    common = math.gcd(rate, wanted)
    down, up = rate // common, wanted // common
    cutoff = 0.97 * min(1.0, up / down)
    reach = math.ceil(ZEROS / cutoff)
    count = -(-len(samples) * up // down)
    padded = np.pad(samples.astype(np.float64), (reach, reach + down + 1))
    found = np.empty(count, np.float64)
    for phase in range(min(up, count)):  # of outputs `phase`, `phase + up`, … the taps are the same
        at = phase * down / up
        first = int(at) - reach
        taps = np.arange(first, first + 2 * reach + 1) - at
        window = np.where(np.abs(taps) < reach, 0.5 + 0.5 * np.cos(np.pi * taps / reach), 0.0)
        kernel = cutoff * np.sinc(cutoff * taps) * window
        rows = len(range(phase, count, up))
        starts = int(at) + down * np.arange(rows)
        for tap, weight in enumerate(kernel):
            found[phase::up] = (0 if tap == 0 else found[phase::up]) + weight * padded[starts + tap]
    return found.astype(np.float32)


def fitted(samples: np.ndarray, length: int) -> np.ndarray:
    """(length,): the middle of what is longer; what is shorter with as many zeros before it as behind."""
    lacking = length - len(samples)
    if lacking <= 0:
        start = -lacking // 2
        return samples[start : start + length]
    return np.pad(samples, (lacking // 2, lacking - lacking // 2))


def inputs_of(content: bytes, how: dict[str, Any]) -> dict[str, Any]:
    """A recording as the network's inputs by name; of steps those of as many samples as `how` says, from the start.

    Raises:
        BadSound: as `read_sound`.
    """
    samples = resampled(*read_sound(content), how["sample_rate"])
    size = how["samples"]
    part = np.pad(samples[:size], (0, max(0, size - len(samples)))) if how["step"] else fitted(samples, size)
    return {how["input"] if how["constants"] else "": prepared(part, how), **how["constants"]}


def prepared(samples: np.ndarray, how: dict[str, Any]) -> np.ndarray:
    """float32: the network's input of one example.

    Args:
        samples: float32, at the network's rate, as many as `how` says.
        how: the fields of `edgepipe.contract.Sound`.
    """
    if how.get("step"):
        return stepped(samples, how["step"], how["context"])
    found = samples if how["features"] == "none" else log_mel(samples, how)
    found = ((found - how["mean"]) / how["std"]).astype(np.float32)
    if how["channel"] != "none":
        found = np.expand_dims(found, 0 if how["channel"] == "first" else -1)
    return np.ascontiguousarray(found)


def stepped(samples: np.ndarray, step: int, context: int) -> np.ndarray:
    """(steps, context + step): consecutive steps, each with the last samples of those before it in front."""
    whole = np.concatenate([np.zeros(context, np.float32), samples])
    starts = np.arange(0, len(samples) - step + 1, step)
    return np.ascontiguousarray(whole[starts[:, None] + np.arange(context + step)], np.float32)


def log_mel(samples: np.ndarray, how: dict[str, Any]) -> np.ndarray:
    """float64, (frames, n_mels) or (n_mels, frames): natural logarithm of the power in bands of the mel scale.

    Frames of `n_fft` samples each `hop` samples, in a periodic Hann window; with `center` half a frame is mirrored at
    both ends, so that frame i lies around sample i * hop.
    """
    size, hop = how["n_fft"], how["hop"]
    values = samples.astype(np.float64)
    if how["center"]:
        values = np.pad(values, size // 2, mode="reflect" if len(values) > size // 2 else "constant")
    starts = np.arange(0, len(values) - size + 1, hop)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    power = np.abs(np.fft.rfft(values[starts[:, None] + np.arange(size)] * window, axis=1)) ** 2
    bands = mel_bands(how["sample_rate"], size, how["n_mels"], how["fmin"], how["fmax"], how["mel_scale"])
    found = np.log(power @ bands.T + how["log_offset"])
    return np.asarray(found if how["axes"] == "frames_mels" else found.T)


def mel_bands(rate: int, size: int, bands: int, low: float, high: float, scale: str) -> np.ndarray:
    """float64, (bands, size // 2 + 1): triangles, each from the middle of the one before to that of the next.

    `htk`: of height 1 on the scale of O'Shaughnessy, Speech Communication (1987), 150; `slaney`: of area 1, on the
    scale of Slaney's Auditory Toolbox (1998), as librosa has them.
    """
    edges = _to_hertz(np.linspace(_to_mel(low, scale), _to_mel(high, scale), bands + 2), scale)
    at = np.arange(size // 2 + 1) * rate / size
    widths = np.maximum(np.diff(edges), 1e-12)
    rise = (at[None] - edges[:-2, None]) / widths[:-1, None]
    fall = (edges[2:, None] - at[None]) / widths[1:, None]
    found = np.maximum(0.0, np.minimum(rise, fall))
    return np.asarray(found * (2.0 / (edges[2:] - edges[:-2]))[:, None] if scale == "slaney" else found)


def _to_mel(hertz: float, scale: str) -> float:
    if scale == "htk":
        return 2595.0 * math.log10(1 + hertz / 700.0)
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def _to_hertz(mel: np.ndarray, scale: str) -> np.ndarray:
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1)
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) / 27 * (np.maximum(mel, 15) - 15)))
