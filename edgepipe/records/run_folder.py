"""What lies in a run's folder belongs to one run: the one whose metrics.json names it.

metrics.json comes last and goes first. So a folder without one is of a run that did not end, and what a killed run
left is never taken for the next one's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from edgepipe.base.files import is_file, is_folder
from edgepipe.errors import InputError
from edgepipe.records.metrics import read_metrics

METRICS = "metrics.json"
_MADE = (METRICS, "report.html", "tracking.json", "recipe.yaml", "overrides.yaml", "final", "steps")


def clear(folder: Path) -> None:
    """Remove what an earlier run left in a folder of edgepipe's own: beside this run's failure it would mislead."""
    halves = [path.name for path in folder.glob(".*.part")]  # that a killed process was writing
    for name in (*_MADE, *halves):
        place = folder / name
        if is_folder(place) and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def refuse_another(run: Path, name: str, sha256: str | None) -> None:
    """Refuse a deployed file that the run's metrics do not name.

    Args:
        name: of the file in final/.
        sha256: of its content; None when the bundle does not say.
    Raises:
        InputError: the run did not end, failed, or made another file.
    """
    final = run / "final"
    remedy = f"Run the recipe again, or copy {final} elsewhere to look at it by itself"
    if not is_file(run / METRICS):
        raise InputError(f"{final}: of a run that did not end: {run} has no {METRICS} that names it. {remedy}")
    metrics = read_metrics(run)
    if metrics.status == "failed":
        raise InputError(f"{final}: not of this run, which failed and deployed nothing. {remedy}")
    wanted = metrics.files.get(name)
    if wanted is not None and sha256 is not None and wanted != sha256:
        raise InputError(
            f"{final / name}: not the file that this run made: its SHA-256 is {sha256[:12]}…, the run's "
            f"{wanted[:12]}…. {remedy}"
        )
