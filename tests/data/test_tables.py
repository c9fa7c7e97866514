"""Tables by their suffix, and folders of shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepipe.data.tables import open_table
from edgepipe.errors import DataError
from tests.data.texts import jsonl


def test_shards_of_a_folder_are_one_table(tmp_path: Path) -> None:
    for number in range(3):
        jsonl(tmp_path / f"part-{number}.jsonl", [{"text": f"{number}{row}"} for row in range(number + 1)])
    table = open_table("data.train", tmp_path)
    assert [row["text"] for row in table.rows(["text"])] == ["00", "10", "11", "20", "21", "22"]
    assert [table.row(number, ["text"])["text"] for number in (5, 0, 2, 3)] == ["22", "00", "11", "20"]
    assert len(table) == 6 and len(table.files) == 3 and list(table.columns) == ["text"]


def test_other_files_are_refused_with_what_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.train=.*no such file: give JSON lines"):
        open_table("data.train", tmp_path / "no.csv")
    with pytest.raises(DataError, match="no table in this folder"):
        open_table("data.train", tmp_path)
    (tmp_path / "t.json").write_text("[]")
    with pytest.raises(DataError, match=r"'\.json' is no kind of table.*name it \.jsonl"):
        open_table("data.train", tmp_path / "t.json")
    jsonl(tmp_path / "t.jsonl", [{"a": 1}])
    (tmp_path / "t.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"holds \.csv and \.jsonl: give a folder of one kind"):
        open_table("data.train", tmp_path)
