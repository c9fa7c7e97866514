"""Small recordings for the tests."""

from __future__ import annotations

import io
import wave

import numpy as np


def wav(samples: np.ndarray, rate: int = 8000, width: int = 2, channels: int = 1) -> bytes:
    """PCM of samples in [-1, 1], (n,) or (n, channels)."""
    whole = np.rint(np.asarray(samples, np.float64) * (2.0 ** (8 * width - 1) - 1)).astype(np.int64)
    if width == 1:
        raw = (whole + 128).astype(np.uint8).tobytes()
    else:
        raw = whole.reshape(-1, 1).astype("<i8").view(np.uint8)[:, :width].tobytes()
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(raw)
    return stream.getvalue()


def noise(seed: int, count: int = 800) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, count)
