"""What files of labels may look like."""

from __future__ import annotations

import pytest

from edgepipe.data.label_files import read_labels

PICTURES = {"a.png": "", "in/b.png": "", "in/c.jpg": ""}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("a.png\tone two\nin/b.png\t\n", {"a.png": "one two", "in/b.png": ""}),
        ("\ufeff./a.png\tx,y\r\n\r\n", {"a.png": "x,y"}),
        ('["a.png", "in/b.png"]\tsame\n', {"a.png": "same", "in/b.png": "same"}),
        ("in\\b.png\tx\n", {"in/b.png": "x"}),
        ('a.png, "Tiredness, it said"\nin/c.jpg, "x"\n', {"a.png": "Tiredness, it said", "in/c.jpg": "x"}),
        ("text,image\nx,a.png\n", {"a.png": "x"}),
        ("file\ttext\na.png\tx\n", {"a.png": "x"}),
    ],
)
def test_lists_are_read_as_their_makers_write_them(content: str, found: dict[str, str]) -> None:
    assert read_labels("l.txt", content.encode(), "", PICTURES) == found


def test_paths_count_from_the_files_folder_or_from_the_root() -> None:
    assert read_labels("l", b"b.png\tx\nin/c.jpg\ty\n", "in", PICTURES) == {"in/b.png": "x", "in/c.jpg": "y"}
