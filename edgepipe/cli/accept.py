"""`edgepipe accept RUN --baseline FILE`: the run becomes what later runs are compared with."""

from __future__ import annotations

import json
from pathlib import Path

from edgepipe.base.files import is_file
from edgepipe.cli.writing import write
from edgepipe.errors import InputError
from edgepipe.records.gate import accept, read_baseline
from edgepipe.records.metrics import read_metrics
from edgepipe.report.terminal import Arguments, PlainConsole


def main_accept(argv: list[str]) -> int:
    """`edgepipe accept RUN --baseline FILE`: the run becomes what later runs are compared with."""
    parser = Arguments("edgepipe accept", description="Write or update a baseline from a run; tolerances are kept.")
    parser.add_argument("run", type=Path, help="a run's folder, or its metrics.json")
    parser.add_argument("--baseline", type=Path, required=True, help="the file to write")
    args = parser.read(argv)
    if args is None:
        return 0
    metrics = read_metrics(args.run)
    if metrics.status == "failed":
        raise InputError(f"{args.run}: status: the run failed; only a finished run can be accepted")
    if metrics.status == "not_verified":
        raise InputError(f"{args.run}: status: the deployed file answers differently elsewhere; make it right first")
    previous = read_baseline(args.baseline) if is_file(args.baseline) else None
    if previous is not None and previous.recipe != metrics.recipe:
        raise InputError(f"{args.baseline}: recipe: it is for '{previous.recipe}', the run is of '{metrics.recipe}'")
    baseline = accept(metrics, previous, str(args.run))
    write(args.baseline, json.dumps(baseline.model_dump(mode="json"), indent=1) + "\n")
    PlainConsole(soft_wrap=True).print(f"{args.baseline}: {len(baseline.metrics)} metrics accepted", markup=False)
    return 0
