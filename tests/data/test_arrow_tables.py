"""Parquet and Arrow files, as pandas, pyarrow and the `datasets` library write them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from edgepipe.data import arrow_tables
from edgepipe.data.arrow_tables import open_arrow
from edgepipe.errors import DataError

ROWS = [{"text": f"text {n}", "label": n % 3, "image": {"bytes": bytes([n]), "path": None}} for n in range(25)]
FEATURES = {"info": {"features": {"label": {"names": ["x", "y", "z"], "_type": "ClassLabel"}}}}


def written(path: Path) -> Path:
    table = pa.Table.from_pylist(ROWS).replace_schema_metadata({"huggingface": json.dumps(FEATURES)})
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=4)
    else:
        make = pa.ipc.new_stream if path.stem == "stream" else pa.ipc.new_file
        with pa.OSFile(str(path), "wb") as sink, make(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    return path


@pytest.mark.parametrize("name", ["t.parquet", "stream.arrow", "file.arrow"])
def test_rows_and_names_of_classes_come_back(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_tables, "_HELD", 1)  # one group of rows
    table = open_arrow("data.train", written(tmp_path / name))
    assert len(table) == 25 and list(table.columns) == ["text", "label", "image"]
    assert list(table.rows(["label", "image"])) == [{k: row[k] for k in ("label", "image")} for row in ROWS]
    assert [table.row(number, ["text"])["text"] for number in (24, 0, 13, 12)] == [f"text {n}" for n in (24, 0, 13, 12)]
    assert table.classes("label") == ("x", "y", "z") and table.classes("text") == ()


def test_damaged_empty_and_huge_groups_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("t.parquet", "t.arrow"):
        (tmp_path / name).write_bytes(b"PAR1 nothing")
        with pytest.raises(DataError, match=rf"^data\.train: not a readable \{(tmp_path / name).suffix} file"):
            open_arrow("data.train", tmp_path / name)
    parquet.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "e.parquet")
    with pytest.raises(DataError, match="holds no rows"):
        open_arrow("data.train", tmp_path / "e.parquet")
    monkeypatch.setattr(arrow_tables, "MOST_GROUP", 10)
    with pytest.raises(DataError, match=r"a group of its rows has .*row_group_size=1000"):
        open_arrow("data.train", written(tmp_path / "t.parquet"))


def test_names_of_nested_features_are_found_and_nonsense_is_none() -> None:
    nested = {"info": {"features": {"tags": {"feature": {"names": ["O", "B"]}}}}}
    assert arrow_tables.named_classes({b"huggingface": json.dumps(nested).encode()}, "tags") == ("O", "B")
    for odd in (b"", b"[]", b"{", b'{"info": 3}'):
        assert arrow_tables.named_classes({b"huggingface": odd}, "tags") == ()
