"""A finished run's record, written once more when something was found out after it."""

from __future__ import annotations

from pathlib import Path

from edgepipe.base.files import write_text
from edgepipe.errors import EdgepipeError
from edgepipe.records.metrics import Metrics
from edgepipe.records.run_folder import METRICS
from edgepipe.report.html import write_report


def write_record(run: Path, metrics: Metrics, what: str) -> None:
    """metrics.json and report.html of a run's folder.

    Args:
        what: what is new in them, for the message.
    Raises:
        EdgepipeError: they cannot be written.
    """
    try:
        write_text(run / METRICS, metrics.model_dump_json(indent=1, by_alias=True))
        write_report(metrics, run / "report.html")
    except OSError as error:
        raise EdgepipeError(f"{run}: {what} cannot be written: {error.strerror or error}") from None
