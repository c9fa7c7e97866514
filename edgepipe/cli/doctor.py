"""`edgepipe doctor`: versions, instruction sets, threads, missing extras."""

from __future__ import annotations

from rich.table import Table

from edgepipe.cli.arguments import nothing_more
from edgepipe.report.terminal import wide_console


def main_doctor(argv: list[str]) -> int:
    """`edgepipe doctor`: versions, instruction sets, threads, missing extras."""
    nothing_more("doctor", argv)
    from edgepipe.targets.doctor import doctor

    table = Table(box=None, padding=(0, 2), show_header=False)
    colours = {"ok": "", "warning": "yellow", "missing": "red"}
    for row in doctor():
        table.add_row(row.topic, row.name, row.value, row.status, row.remedy, style=colours[row.status])
    wide_console().print(table)
    return 0
