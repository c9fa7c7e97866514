"""JSON lines, CSV, TSV and plain lines, row by row."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.data.line_tables import open_lines
from edgepipe.errors import DataError
from tests.data.texts import jsonl, written_csv

ROWS = [
    {"text": "plain", "label": "a"},
    {"text": 'quotes " and, commas', "label": "b"},
    {"text": "two\nlines", "label": "ü"},
    {"text": "", "label": "c"},
]


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.tsv"])
def test_rows_come_back_in_any_order(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    jsonl(path, ROWS) if path.suffix == ".jsonl" else written_csv(path, ROWS)
    table = open_lines("data.train", path)
    assert list(table.columns) == ["text", "label"] and len(table) == 4
    assert list(table.rows(["text", "label"])) == ROWS
    assert [table.row(number, ["text"]) for number in (3, 0, 2)] == [{"text": ROWS[n]["text"]} for n in (3, 0, 2)]


def test_a_mark_at_the_beginning_and_empty_lines_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbftext;label\r\n\r\none, two;1\r\n\r\nthree;2\r\n")
    assert list(open_lines("w", path).rows(["text", "label"])) == [
        {"text": "one, two", "label": "1"},
        {"text": "three", "label": "2"},
    ]
    lines = tmp_path / "t.txt"
    lines.write_text("one\n\ntwo", encoding="utf-8")
    assert [row["text"] for row in open_lines("w", lines).rows(["text"])] == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.jsonl", b"", "holds no rows"),
        ("t.jsonl", b"{'text': 1}\n", r"line 1: not JSON .*one object a line"),
        ("t.jsonl", b'\n{"text": "a"}\n["b"]\n', "line 3: no object"),
        ("t.jsonl", b"[" * 100_000, "line 1: nested too deeply"),
        ("t.jsonl", b'{"text": "a"}\n{"other": 1}\n', "line 2: has no `text`"),
        ("t.jsonl", b'{"text": "\xff"}\n', "line 1: not UTF-8"),
        ("t.csv", b"text,label\na,b,c\n", "line 2: 3 values, but 2 columns"),
        ("t.csv", b'text,label\na,b\n"a,b\n', "line 3: .*is a quote open"),
        ("t.csv", b"text,text\na,b\n", "names no columns, or one twice"),
        ("t.csv", "text\nä".encode("utf-16"), "not UTF-8"),
        ("t.txt", b"a" * ((16 << 20) + 2), "line 1 is longer than 16 MB"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^data.train: .*{said}"):
        list(open_lines("data.train", path).rows(["text"]))
