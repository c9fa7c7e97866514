"""Contents are counted by their suffix, whatever its letters."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.contract import Contents
from edgepipe.contract.guess import suffix_of


@pytest.mark.parametrize(("name", "suffix"), [("a/B.JPG", ".jpg"), ("a.b/c", ""), ("x.tar.gz", ".gz"), ("", "")])
def test_the_suffix_of_a_path(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix


def test_files_are_counted_by_suffix() -> None:
    found = Contents(Path("r"), ["a.jpg", "b/c.JPG", "d.xml"])
    assert found.suffixes == {".jpg": 2, ".xml": 1}
    assert found.of(".xml", ".json") == ["d.xml"]
