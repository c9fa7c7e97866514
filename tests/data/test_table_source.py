"""Rows are hashed once, and no content is in two splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepipe.contract import Split
from edgepipe.data.table_source import hashed, scan
from edgepipe.data.tables import open_table
from edgepipe.data.text import TextData
from edgepipe.errors import DataError
from tests.data.texts import jsonl, sentences, tokenizer


def test_hashes_are_of_content_alone() -> None:
    assert hashed(["ab", "c"]) != hashed(["a", "bc"])
    assert hashed([{"bytes": b"1", "path": "x"}]) == hashed([{"bytes": b"1", "path": None}]) == hashed([b"1"])
    assert hashed([["a", "b"]]) != hashed([["a b"]])


def test_hashes_are_recalled_while_the_file_stays(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "t.jsonl", sentences(5))
    settings = TextData(tokenizer=tmp_path, train=path)
    table = open_table("data.train", path)
    first = scan(table, ["text"], "label", tmp_path / "cache", settings, "w")

    class Unreadable:
        files, columns = table.files, table.columns

    assert scan(Unreadable(), ["text"], "label", tmp_path / "cache", settings, "w") == first  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        scan(Unreadable(), ["text"], None, tmp_path / "cache", settings, "w")  # type: ignore[arg-type]


def test_evaluation_is_held_out_by_content_and_class(tmp_path: Path) -> None:
    rows = sentences(40)
    path = jsonl(tmp_path / "t.jsonl", [*rows, *rows[:10]])  # ten stand in it twice
    settings = TextData(tokenizer=tokenizer(tmp_path), train=path, label="label", calibration_size=12)
    data = settings.open(tmp_path)
    assert data.count(Split.CALIBRATION) == 12
    labels = data.labels(Split.EVALUATION)
    assert labels is not None and 10 <= len(labels) <= 20 and len(np.unique(labels)) == 2
    assert data.count(Split.TRAIN) + data.count(Split.EVALUATION) == 50


def test_overlap_is_refused_or_dropped(tmp_path: Path) -> None:
    rows = sentences(20)
    given = {
        "tokenizer": tokenizer(tmp_path),
        "train": jsonl(tmp_path / "t.jsonl", rows),
        "evaluation": jsonl(tmp_path / "e.jsonl", rows[15:]),
    }
    with pytest.raises(DataError, match=r"data\.train: 5 training examples .*train\[15\] = evaluation\[0\]"):
        TextData(**given).open(tmp_path)
    data = TextData(**given, on_overlap="drop").open(tmp_path)
    assert (data.count(Split.TRAIN), data.count(Split.EVALUATION)) == (15, 5)
    with pytest.raises(DataError, match=r"data\.evaluation_size=9, but there are 5"):
        TextData(**given, evaluation_size=9).open(tmp_path)
