"""`edgepipe explain RUN`: for each step, why it was reused or computed."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.table import Table

from edgepipe.records.metrics import read_metrics
from edgepipe.report.terminal import Arguments, output_console


def main_explain(argv: list[str]) -> int:
    """`edgepipe explain RUN`: for each step, why it was reused or what differed."""
    parser = Arguments("edgepipe explain", description="For each step of a run: reused, or what differed.")
    parser.add_argument("run", type=Path, help="a run's folder, or its metrics.json")
    args = parser.read(argv)
    if args is None:
        return 0
    metrics = read_metrics(args.run)
    table = Table(box=box.MARKDOWN, padding=(0, 1))
    for column in ("step", "result", "measurement", "why"):
        table.add_column(column, overflow="fold")
    for step in metrics.passes:
        if step.status == "not_run":
            table.add_row(step.label, "not run", "-", "a step before it failed")
            continue
        if step.key is None:
            table.add_row(step.label, step.status, "-", "it has no stored result")
            continue
        because = [*step.computed_because, *(f"measured: {text}" for text in step.measured_because)]
        why = "; ".join(because) or ("nothing it depends on changed" if step.cached else "-")
        measured = "-" if step.measurements is None else ("reused" if step.measurement_cached else "measured")
        table.add_row(step.label, "reused" if step.cached else "computed", measured, why)
    console = output_console()
    console.print(table)
    return 0
