"""A file or a folder takes the place of another one whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.base.files import remove, replacing, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("settings", [{}, {"alone": True}, {"on_disk": True}])
def test_what_was_written_takes_the_place_of_the_old_at_the_end_only(tmp_path: Path, settings: dict[str, bool]) -> None:
    file = tmp_path / "a.json"
    file.write_text("old")
    with replacing(file, **settings) as part:
        part.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert names(tmp_path) == ["a.json"]


def test_a_folder_takes_the_place_of_a_folder_and_nothing_of_the_old_one_stays(tmp_path: Path) -> None:
    folder = tmp_path / "final"
    folder.mkdir()
    (folder / "old").touch()
    with replacing(folder) as part:
        part.mkdir()
        (part / "new").touch()
    assert names(folder) == ["new"]
    assert names(tmp_path) == ["final"]


def test_what_fails_or_is_interrupted_leaves_the_old_one_and_no_half(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("old")
    for error in (OSError, KeyboardInterrupt):
        with pytest.raises(error), replacing(file) as part:
            part.write_text("half")
            raise error
    assert file.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_half_of_a_killed_writer_is_written_over_where_nobody_else_writes(tmp_path: Path) -> None:
    half = tmp_path / ".a.part"
    half.mkdir()
    (half / "x").touch()
    with replacing(tmp_path / "a", alone=True) as part:
        assert part == half
        part.write_text("new")
    assert names(tmp_path) == ["a"]


def test_removing_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    remove(tmp_path / "link")
    remove(tmp_path / "nothing")
    assert names(tmp_path) == ["mine"]


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
