"""Measurements on disk: `measured.json` and the answers beside it, so that nothing is measured twice."""

from __future__ import annotations

import json
from pathlib import Path

from edgepipe.measure.accuracy import Predictions
from edgepipe.measure.measure import Measured
from edgepipe.metrics import Audit, Measurements, Versus, WrongAnswer

_JSON = "measured.json"
_ANSWERS = "predictions.npz"


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


def load(folder: Path) -> Measured:
    """Read what `save` wrote; the caller has verified its digests."""
    content = json.loads((folder / _JSON).read_text(encoding="utf-8"))
    return Measured(
        measurements=Measurements.model_validate(content["measurements"]),
        versus=Versus.model_validate(content["versus"]),
        audit=Audit.model_validate(content["audit"]),
        predictions=Predictions.load(folder / _ANSWERS),
        wrong=[WrongAnswer.model_validate(answer) for answer in content["wrong"]],
    )
