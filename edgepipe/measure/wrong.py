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
    return [
        WrongAnswer(
            index=index,
            label=task.say(targets, index, signature),
            answer=task.say(answers, index, signature),
            picture_png=None if picture is None else picture_png(picture, signature),
        )
        for index, picture in zip(chosen, _pictures(data, chosen), strict=True)
    ]


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
    if values.ndim != 3 or values.shape[0] not in (1, 3) or min(values.shape[1:]) < 2:
        return None
    from PIL import Image

    given = values.astype(np.float32)
    about = signature.preprocessing
    if not is_picture(given.shape, about):
        low, high = float(given.min()), float(given.max())
        given = (given - low) / (high - low or 1.0)
        about = Preprocessing(mean=(0.0,) * len(given), std=(1.0,) * len(given))
    picture = Image.fromarray(shown(given, about))
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode("ascii")
