"""`edgepipe track RUN …`: log finished runs to MLflow, as tracking=mlflow does."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from edgepipe.base.files import is_file
from edgepipe.base.text import shown
from edgepipe.errors import RecipeError
from edgepipe.recipe.schema import Tracking
from edgepipe.report.terminal import Arguments, output_console
from edgepipe.tracking import DEFAULT_DATABASE, place, track


def main_track(argv: list[str]) -> int:
    """`edgepipe track RUN …`: log finished runs, as `tracking=mlflow` does at their end."""
    parser = Arguments("edgepipe track", description="Log finished runs to MLflow; a run is logged once per place.")
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--uri", help=f"default: $MLFLOW_TRACKING_URI, else sqlite:///{DEFAULT_DATABASE}")
    parser.add_argument("--experiment", default="edgepipe", help="default: edgepipe")
    parser.add_argument("--no-model", action="store_true", help="leave final/ out")
    args = parser.read(argv)
    if args is None:
        return 0
    try:
        tracking = Tracking(uri=args.uri, experiment=args.experiment, log_model=not args.no_model)
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise RecipeError(f"command line: --{error.errors()[0]['loc'][0]}: {said}") from None
    for run in args.runs:
        run_id = track(run.parent if is_file(run) else run, tracking)
        output_console().print(f"{run}: run {run_id} in {shown(place(tracking))}", markup=False)
    return 0
