"""Texts in tables: inputs, labels and tags as a task takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from edgepipe.contract import Split
from edgepipe.data.text import TextData
from edgepipe.errors import DataError
from tests.data.texts import jsonl, sentences, tokenizer, written_csv


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".parquet"])
def test_the_same_rows_are_the_same_examples_whatever_the_file(tmp_path: Path, suffix: str) -> None:
    rows, path = sentences(12), tmp_path / f"e{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        (jsonl if suffix == ".jsonl" else written_csv)(path, rows)
    data = TextData(tokenizer=tokenizer(tmp_path), evaluation=path, label="label", padding="fixed", max_length=10).open(
        tmp_path
    )
    batch = next(data.batches(Split.EVALUATION, 12))
    assert list(batch.inputs) == ["input_ids", "attention_mask"]
    assert batch.inputs["input_ids"].shape == (12, 10) and batch.inputs["input_ids"].dtype == np.int64
    assert data.signature.classes == ("bad", "good") and data.signature.task == "classification"
    assert batch.labels is not None and [data.signature.classes[n] for n in batch.labels] == [r["label"] for r in rows]
    reference = jsonl(tmp_path / "r.jsonl", rows)
    same = TextData(tokenizer=tmp_path, evaluation=reference, label="label", padding="fixed", max_length=10)
    assert same.open(tmp_path).digest(Split.EVALUATION) == data.digest(Split.EVALUATION)


def test_an_example_is_as_long_as_its_text(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "e.jsonl", [{"text": text} for text in ("the cat", "a dog", "the dog ran far")])
    data = TextData(tokenizer=tokenizer(tmp_path), evaluation=path).open(tmp_path)
    assert [batch.inputs["input_ids"].shape for batch in data.batches(Split.EVALUATION, 8)] == [(2, 4), (1, 6)]
    assert data.signature.inputs[0].shape == ("length",)
    assert dict(data.files)["tokenizer.json"] == (tmp_path / "tokenizer.json").read_bytes()  # type: ignore[attr-defined]


def test_pairs_names_of_inputs_and_type_are_as_asked(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "e.jsonl", [{"a": "the cat", "b": "a dog"}])
    given = {"tokenizer": tokenizer(tmp_path), "evaluation": path, "text": "a", "pair": "b"}
    batch = next(TextData(**given).open(tmp_path).batches(Split.EVALUATION, 1))
    assert batch.inputs["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1]]
    named = TextData(**given, inputs={"tok": "ids", "seg": "types"}, dtype="int32").open(tmp_path)
    batch = next(named.batches(Split.EVALUATION, 1))
    assert {name: value.dtype.name for name, value in batch.inputs.items()} == {"tok": "int32", "seg": "int32"}
    with pytest.raises(ValidationError, match="inputs names 'ids', not one of input_ids"):
        TextData(**given, inputs=("ids",))
    with pytest.raises(ValidationError, match="gives the model no ids"):
        TextData(**given, inputs=("attention_mask",))


@pytest.mark.parametrize("padding", ["fixed", "dynamic"])
@pytest.mark.parametrize("split", [True, False])
def test_a_tag_stands_at_the_first_token_of_its_word(tmp_path: Path, padding: str, split: bool) -> None:
    rows: list[dict[str, Any]] = [
        {"words": ["walking", "cat"], "tags": ["B-X", "O"]},
        {"words": ["a"], "tags": ["B-X"]},
    ]
    rows = rows if split else [{"words": " ".join(row["words"]), "tags": " ".join(row["tags"])} for row in rows]
    path = jsonl(tmp_path / "e.jsonl", rows)
    given = {"tokenizer": tokenizer(tmp_path), "evaluation": path, "text": "words", "tags": "tags", "max_length": 6}
    data = TextData(**given, padding=padding).open(tmp_path)
    assert data.signature.classes == ("B-X", "O") and data.signature.task == "tokens"
    labels = data.labels(Split.EVALUATION)
    assert labels is not None and labels.dtype == np.int64
    assert labels.tolist() == [[-100, 0, -100, 1, -100, -100], [-100, 0, -100, -100, -100, -100]]
    ordered = TextData(**given, classes=("O", "B-X")).open(tmp_path).labels(Split.EVALUATION)
    assert ordered is not None and ordered[0].tolist() == [-100, 1, -100, 0, -100, -100]


def test_rows_that_do_not_fit_are_told_with_their_column(tmp_path: Path) -> None:
    given = {"tokenizer": tokenizer(tmp_path), "evaluation": jsonl(tmp_path / "e.jsonl", [{"text": "a", "n": 3}])}
    with pytest.raises(DataError, match=r"data\.evaluation=.*has no column `body` \(data\.text\); .*`text`, `n`"):
        TextData(**given, text="body").open(tmp_path)
    with pytest.raises(DataError, match=r"has no column `y` \(data\.label\)"):
        TextData(**given, label="y").open(tmp_path)
    with pytest.raises(DataError, match="row 0: its tags are int: give a list"):
        TextData(**given, tags="n").open(tmp_path)
    with pytest.raises(ValidationError, match="label and tags are both set"):
        TextData(**given, tags="n", label="n")
    tags = jsonl(tmp_path / "t.jsonl", [{"text": "a cat", "tags": ["O"]}])
    with pytest.raises(DataError, match="row 0: 1 tags for 2 words"):
        TextData(tokenizer=tmp_path, evaluation=tags, tags="tags").open(tmp_path).labels(Split.EVALUATION)
