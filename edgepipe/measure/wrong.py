"""Examples that a step answers wrongly though the baseline was right, with their pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Answers, Dataset, Preprocessing, Signature, Split, Targets, Task
from edgepipe.data.scaling import is_picture, shown
from edgepipe.records.metrics import WrongAnswer

_DRAWN, _SIDE = 6, 256
"""Examples whose answers are drawn, and pixels of such a picture's longer side: a report stays below some megabytes."""


def wrong_answers(
    task: Task, answers: Answers, baseline: Answers, targets: Targets, data: Dataset, *, most: int = 12
) -> list[WrongAnswer]:
    """Up to `most` newly wrong answers, spread evenly over the evaluation split; none where the task tells none."""
    lost = task.lost(answers, baseline, targets)
    if len(lost) > most:  # class folders come sorted: the first ones would all be of one class
        lost = lost[np.linspace(0, len(lost) - 1, most).astype(int)]
    chosen = [int(index) for index in lost[:most]]
    if not chosen:
        return []
    signature = data.signature
    found: list[WrongAnswer] = []
    for index, values in zip(chosen, _pictures(data, chosen), strict=True):
        pixels = None if values is None else _pixels(values, signature)
        said = {"label": task.say(targets, index, signature), "answer": task.say(answers, index, signature)}
        drawn = {}
        if pixels is not None and len(found) < _DRAWN:
            rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)
            sides = {"label_png": targets, "baseline_png": baseline, "answer_png": answers}
            for name, each in sides.items():
                picture = task.show(rgb, each, index, signature)
                drawn[name] = None if picture is None else _png(picture, _SIDE)
        whole = None if pixels is None else _png(pixels)
        found.append(WrongAnswer(index=index, picture_png=whole, **said, **drawn))
    return found


def _pictures(data: Dataset, chosen: list[int]) -> Iterator[NDArray[Any] | None]:
    """Examples of one input each; None: of several, which are no picture."""
    for batch in data.batches(Split.EVALUATION, len(chosen), chosen):
        yield from batch.only if len(batch.inputs) == 1 else [None] * len(batch)


def picture_png(values: NDArray[Any], signature: Signature) -> str | None:
    """The preprocessed example as base64 PNG; None when it is not a 1- or 3-channel picture.

    Args:
        values: float32, (channels, height, width). Without a recorded mean and std the value
            range is stretched to black and white.
    """
    pixels = _pixels(values, signature)
    return None if pixels is None else _png(pixels)


def _pixels(values: NDArray[Any], signature: Signature) -> NDArray[np.uint8] | None:
    """(height, width), or RGB."""
    if values.ndim != 3 or values.shape[0] not in (1, 3) or min(values.shape[1:]) < 2:
        return None
    given = values.astype(np.float32)
    about = signature.preprocessing
    if not is_picture(given.shape, about):
        low, high = float(given.min()), float(given.max())
        given = (given - low) / (high - low or 1.0)
        about = Preprocessing(mean=(0.0,) * len(given), std=(1.0,) * len(given))
    return shown(given, about)


def _png(pixels: NDArray[np.uint8], most: int | None = None) -> str:
    """Base64; `most` pixels on its longer side."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    if most is not None:
        picture.thumbnail((most, most))
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode("ascii")
