"""`edgepipe compare RUN RUN …`: one table and one page over several runs."""

from __future__ import annotations

from pathlib import Path

from edgepipe.base.files import is_folder
from edgepipe.base.marks import claim, ran_here
from edgepipe.errors import InputError
from edgepipe.records.metrics import read_metrics
from edgepipe.report.sweep import Run, rich_sweep, write_sweep
from edgepipe.report.terminal import Arguments, output_console


def main_compare(argv: list[str]) -> int:
    """`edgepipe compare RUN RUN … [--out DIR]`: the sweep page over any runs."""

    parser = Arguments("edgepipe compare", description="One table and one page over several runs.")
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, or their metrics.json")
    parser.add_argument("--out", type=Path, help="write sweep.html, .json, .csv and .md here")
    args = parser.read(argv)
    if args is None:
        return 0
    runs: list[Run] = []
    for given in args.runs:
        metrics = read_metrics(given)
        folder = (given if is_folder(given) else given.parent).resolve()  # `.` has no name
        named = any(item.startswith("recipe=") for item in metrics.overrides)
        runs.append(([*([] if named else [f"recipe={metrics.recipe}"]), *metrics.overrides], metrics, folder))
    console = output_console()
    console.print(rich_sweep(runs), soft_wrap=True)
    if args.out is not None:
        try:
            claim(args.out, "results", "command line: --out", ran_here)
            write_sweep(runs, args.out)
        except OSError as error:
            raise InputError(f"{args.out}: cannot be written: {error.strerror or error}") from None
        console.print(f"page: {args.out / 'sweep.html'}", markup=False)
    return 0
