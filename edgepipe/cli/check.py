"""`edgepipe check RUN --baseline FILE`: the regression gate for CI."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edgepipe.cli.writing import write
from edgepipe.errors import InputError
from edgepipe.records.gate import compare, fitting, incomparable, read_baseline
from edgepipe.records.metrics import read_metrics
from edgepipe.report.gate import github_annotations, junit, markdown
from edgepipe.report.terminal import Arguments, PlainConsole


def main_check(argv: list[str]) -> int:
    """`edgepipe check RUN --baseline FILE`: 0 no regression, 1 a regression, 2 nothing to compare."""
    parser = Arguments("edgepipe check", description="Compare a run with a baseline; exit 1 on a regression.")
    parser.add_argument("run", type=Path, help="a run's folder, or its metrics.json")
    parser.add_argument("--baseline", type=Path, required=True, help="file made by `edgepipe accept`")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table as Markdown")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="also write JUnit XML")
    args = parser.read(argv)
    if args is None:
        return 0
    metrics, baseline = read_metrics(args.run), read_baseline(args.baseline)
    if metrics.recipe != baseline.recipe:
        raise InputError(
            f"{args.baseline}: recipe: it is for '{baseline.recipe}', the run is of '{metrics.recipe}'. "
            "Name the baseline of this recipe"
        )
    reasons = incomparable(metrics)
    if not reasons:
        fitting(metrics, baseline, str(args.baseline))
    verdicts = [] if reasons else compare(metrics, baseline)
    text = markdown(metrics, verdicts)
    PlainConsole(soft_wrap=True).print(text, markup=False, end="")
    if args.markdown:
        write(args.markdown, text)
    if args.junit:
        write(args.junit, junit(metrics, verdicts))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        sys.stdout.write(github_annotations(metrics, verdicts))
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            _append(Path(summary), text + "\n")
    return 1 if reasons or any(item.status in ("worse", "missing") for item in verdicts) else 0


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise InputError(f"GITHUB_STEP_SUMMARY: {path}: cannot be written: {error.strerror or error}") from None
