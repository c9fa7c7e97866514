"""A file that edgepipe writes is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.base.files import write_text


def test_a_text_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new, and then what no file can hold: \ud800")
    assert path.read_text() == "old"
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "another.json", "\ud800")
    assert [found.name for found in tmp_path.iterdir()] == ["metrics.json"]
    write_text(path, "new")
    assert path.read_text() == "new"
