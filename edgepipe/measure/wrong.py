"""Examples that a step answers wrongly though the baseline was right, with their pictures."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Dataset, Signature, Split
from edgepipe.measure.accuracy import Predictions
from edgepipe.records.metrics import WrongAnswer


def wrong_answers(
    predictions: Predictions, baseline: Predictions, data: Dataset, *, most: int = 12
) -> list[WrongAnswer]:
    """Up to `most` newly wrong answers, spread evenly over the evaluation split; empty without labels."""
    if predictions.labels is None or predictions.correct is None or baseline.correct is None or most == 0:
        return []
    lost = np.flatnonzero(~predictions.correct & baseline.correct)
    if len(lost) > most:  # class folders come sorted: the first ones would all be of one class
        lost = lost[np.linspace(0, len(lost) - 1, most).astype(int)]
    chosen = [int(index) for index in lost]
    if not chosen:
        return []
    signature = data.signature
    pictures = [picture for batch in data.batches(Split.EVALUATION, most, chosen) for picture in batch.only]
    return [
        WrongAnswer(
            index=index,
            label=class_name(signature, int(predictions.labels[index])),
            answer=class_name(signature, int(predictions.answers[index])),
            picture_png=picture_png(picture, signature),
        )
        for index, picture in zip(chosen, pictures, strict=True)
    ]


def class_name(signature: Signature, index: int) -> str:
    """Name of a class, its number where the data has no names."""
    return signature.classes[index] if 0 <= index < len(signature.classes) else str(index)


def picture_png(values: NDArray[Any], signature: Signature) -> str | None:
    """The preprocessed example as base64 PNG; None when it is not a 1- or 3-channel picture.

    Args:
        values: float32, (channels, height, width). Without a recorded mean and std the value
            range is stretched to black and white.
    """
    if values.ndim != 3 or values.shape[0] not in (1, 3) or min(values.shape[1:]) < 2:
        return None
    from PIL import Image

    channels = values.shape[0]
    mean, std = signature.preprocessing.mean, signature.preprocessing.std
    shown = values.astype(np.float32)
    if mean and std and len(mean) in (1, channels) and len(std) in (1, channels):
        shown = shown * np.reshape(np.asarray(std, np.float32), (-1, 1, 1)) + np.reshape(
            np.asarray(mean, np.float32), (-1, 1, 1)
        )
    else:
        low, high = float(shown.min()), float(shown.max())
        shown = (shown - low) / (high - low or 1.0)
    pixels = np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(pixels[0] if channels == 1 else pixels.transpose(1, 2, 0))
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode("ascii")
