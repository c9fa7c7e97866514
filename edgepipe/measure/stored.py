"""Measurements on disk: `measured.json` and the answers beside it, so that nothing is measured twice."""

from __future__ import annotations

import json
import math
from pathlib import Path

from edgepipe.base.files import MOST_RECORD, read_plain
from edgepipe.contract import Task
from edgepipe.measure.answers import Answered
from edgepipe.measure.measure import Measured
from edgepipe.records.metrics import Audit, Measurements, Versus, WrongAnswer

_JSON = "measured.json"
_ANSWERS = "answers.npz"


def save(measured: Measured, folder: Path) -> None:
    """Write a measurement into an empty folder."""
    content = {
        "measurements": measured.measurements.model_dump(mode="json"),
        "versus": measured.versus.model_dump(mode="json"),
        "audit": measured.audit.model_dump(mode="json"),
        "wrong": [answer.model_dump(mode="json") for answer in measured.wrong],
    }
    (folder / _JSON).write_text(json.dumps(content), encoding="utf-8")
    measured.answered.save(folder / _ANSWERS)


def load(folder: Path, task: Task, count: int) -> Measured:
    """Read what `save` wrote; the caller has verified its digests, which say nothing of who wrote it.

    Args:
        task: whose answers they are.
        count: examples of the evaluation split.
    Raises:
        MeasureError: the answers are not those to so many examples.
        OSError, ValueError, KeyError, TypeError, RecursionError: it is no measurement.
    """
    text = read_plain(folder / _JSON, MOST_RECORD)
    content = json.loads(text, parse_constant=_finite, parse_float=_finite)
    return Measured(
        measurements=Measurements.model_validate(content["measurements"]),
        versus=Versus.model_validate(content["versus"]),
        audit=Audit.model_validate(content["audit"]),
        answered=Answered.load(folder / _ANSWERS, task, count),
        wrong=[WrongAnswer.model_validate(answer) for answer in content["wrong"]],
    )


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number
