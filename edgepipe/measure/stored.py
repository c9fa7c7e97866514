"""Measurements on disk: `measured.json` and the answers beside it, so that nothing is measured twice."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.base.files import MOST_RECORD, read_plain
from edgepipe.errors import MeasureError
from edgepipe.measure.accuracy import Predictions
from edgepipe.measure.measure import Measured
from edgepipe.measure.values import Values
from edgepipe.records.metrics import Audit, Measurements, Versus, WrongAnswer

_JSON = "measured.json"
_ANSWERS = "predictions.npz"
_MOST_CLASSES = 1 << 24


def save(measured: Measured, folder: Path) -> None:
    """Write a measurement into an empty folder."""
    content = {
        "measurements": measured.measurements.model_dump(mode="json"),
        "versus": measured.versus.model_dump(mode="json"),
        "audit": measured.audit.model_dump(mode="json"),
        "wrong": [answer.model_dump(mode="json") for answer in measured.wrong],
    }
    (folder / _JSON).write_text(json.dumps(content), encoding="utf-8")
    measured.predictions.save(folder / _ANSWERS)


def load(folder: Path, count: int) -> Measured:
    """Read what `save` wrote; the caller has verified its digests, which say nothing of who wrote it.

    Args:
        count: examples of the evaluation split.
    Raises:
        MeasureError: the answers are not those to so many examples.
        OSError, ValueError, KeyError, TypeError, RecursionError: it is no measurement.
    """
    text = read_plain(folder / _JSON, MOST_RECORD)
    content = json.loads(text, parse_constant=_finite, parse_float=_finite)
    predictions = Predictions.load(folder / _ANSWERS)
    if not _possible(predictions, count):
        raise MeasureError(f"{folder / _ANSWERS}: no answers to {count} examples")
    return Measured(
        measurements=Measurements.model_validate(content["measurements"]),
        versus=Versus.model_validate(content["versus"]),
        audit=Audit.model_validate(content["audit"]),
        predictions=predictions,
        wrong=[WrongAnswer.model_validate(answer) for answer in content["wrong"]],
    )


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number


def _possible(found: Predictions | Values, count: int) -> bool:
    """Whether arrays have the types, shapes and ranges of answers to so many examples."""
    kinds, axes, first = ("f", 2, found.values) if isinstance(found, Values) else ("iu", 1, found.answers)
    arrays: list[tuple[NDArray[Any], int]] = [(first, axes)]
    if found.labels is not None:
        arrays.append((found.labels, axes))
    if isinstance(found, Predictions):
        arrays.append((found.top5, 2))
    return all(
        array.ndim == axes
        and len(array) == count
        and array.dtype.kind in kinds
        and bool(np.isfinite(array).all())
        and (kinds == "f" or not array.size or -1 <= int(array.min()) <= int(array.max()) <= _MOST_CLASSES)
        for array, axes in arrays
    )
