"""`edgepipe report RUN`: write report.html again from metrics.json."""

from __future__ import annotations

import sys
from pathlib import Path

from edgepipe.base.files import is_folder
from edgepipe.base.text import printable
from edgepipe.errors import InputError
from edgepipe.records.metrics import read_metrics
from edgepipe.report.html import write_report
from edgepipe.report.terminal import Arguments


def main_report(argv: list[str]) -> int:
    """`edgepipe report RUN`: write report.html again from metrics.json."""

    parser = Arguments("edgepipe report", description="Write report.html again from metrics.json.")
    parser.add_argument("run", type=Path, help="a run's folder, or its metrics.json")
    args = parser.read(argv)
    if args is None:
        return 0
    target = (args.run if is_folder(args.run) else args.run.parent) / "report.html"
    metrics = read_metrics(args.run)
    try:
        write_report(metrics, target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from None
    sys.stdout.write(f"{printable(str(target))}\n")
    return 0
