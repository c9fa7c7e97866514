"""The contract of a format."""

from __future__ import annotations

from pathlib import Path

from edgepipe.contract import Format, Written


def test_a_format_writes_and_says_what_it_wrote() -> None:
    assert Format.__abstractmethods__ == {"write"}
    written = Written((Path("a.bin"),), dict)
    assert (written.files[0].name, written.facts) == ("a.bin", {})
