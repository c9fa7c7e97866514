"""A file is small enough to be read at once: 400 lines, a pass 150."""

from __future__ import annotations

from collections.abc import Iterator

from tests.rules.exceptions import check
from tests.rules.source import modules, room_of, text_of

LINES = 400
LINES_OF_A_PASS = 150


def found() -> Iterator[str]:
    """Files that are longer."""
    for module in (*modules(), *modules("tests")):
        most = LINES_OF_A_PASS if module.startswith("edgepipe/") and room_of(module) == "passes" else LINES
        if text_of(module).count("\n") > most:
            yield module


def test_no_file_is_longer_than_400_lines_and_no_pass_than_150() -> None:
    check("long", found(), "too long: split it by what it knows")
