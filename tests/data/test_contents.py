"""The names at a place, hidden ones left out, of folders and archives alike."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from edgepipe.data.contents import contents_of
from edgepipe.errors import DataError


def test_a_folder_and_a_zip_of_it_hold_the_same_names(tmp_path: Path) -> None:
    for name in ("p/a/1.JPG", "p/b/2.xml", "p/.git/x.jpg", "p/Thumbs.db"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for path in (tmp_path / "p").rglob("*"):
            archive.write(path, path.relative_to(tmp_path / "p").as_posix())
    for root in (tmp_path / "p", tmp_path / "p.zip"):
        found = contents_of(root, "--data")
        assert list(found.names) == ["a/1.JPG", "b/2.xml"]
        assert found.of(".jpg") == ["a/1.JPG"]
        assert not found.alone


def test_a_file_is_alone_and_a_damaged_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a\n")
    assert contents_of(tmp_path / "x.csv", "--data").alone
    (tmp_path / "x.zip").write_text("no archive")
    with pytest.raises(DataError, match="damaged archive"):
        contents_of(tmp_path / "x.zip", "--data")
