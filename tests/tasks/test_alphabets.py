"""Alphabets: from files of every kind, and as classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.errors import MeasureError, RecipeError
from edgepipe.tasks import alphabets


@pytest.mark.parametrize(
    "text", ["a\nb\n \u2028\n\u00e9\n", "a\r\nb\r\n \u2028\r\n\u00e9", '{"b": 1, "a": 0, "\u00e9": 3, " \u2028": 2}']
)
def test_a_file_has_a_symbol_a_line_or_their_numbers(text: str, tmp_path: Path) -> None:
    file = tmp_path / "alphabet.txt"
    file.write_bytes(text.encode())
    assert alphabets.of_file(file) == ("a", "b", " \u2028", "\u00e9")


def test_brackets_may_be_symbols() -> None:
    assert alphabets.of_text("[\n]\n{\n") == ("[", "]", "{")
    assert alphabets.of_text('["a", "b"]') == ("a", "b")


def test_a_file_that_says_nothing_is_refused_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"task\.alphabet=.*no such file"):
        alphabets.of_file(tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(RecipeError, match="holds 0 symbols"):
        alphabets.of_file(tmp_path / "empty.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(RecipeError, match="UTF-8"):
        alphabets.of_file(tmp_path / "bytes.txt")


def test_classes_get_their_symbols() -> None:
    assert alphabets.table("ab", 3, 0, "m") == ["", "a", "b"]
    assert alphabets.table("ab", 4, 0, "m") == ["", "a", "b", " "]
    assert alphabets.table("ab", 3, -1, "m") == ["a", "b", ""]
    assert alphabets.table("ab_", 3, 2, "m") == ["a", "b", ""]
    with pytest.raises(MeasureError):
        alphabets.table("ab", 5, 0, "m")
