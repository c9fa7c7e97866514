"""Where the splits of a table lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from edgepipe.contract import Split
from edgepipe.data.text import TextData
from edgepipe.errors import DataError
from tests.data.texts import jsonl

ONE = [{"text": "a"}]


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (("train.jsonl", "test.jsonl", "validation.jsonl"), {"train": 1, "evaluation": 1}),
        (("train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl", "dev.jsonl"), {"train": 2, "evaluation": 1}),
        (("data/train-0.jsonl", "data/test-0.jsonl"), {"train": 1, "evaluation": 1}),
        (
            ("train/a.jsonl", "train/b.jsonl", "test/a.jsonl", "calibration.jsonl"),
            {"train": 2, "evaluation": 1, "calibration": 1},
        ),
        (("whatever.jsonl", "training_notes.csv"), {"train": 1}),
        (("a.jsonl", "b.jsonl"), {"train": 2}),
    ],
)
def test_splits_of_a_root_are_found_by_their_names(
    tmp_path: Path, files: tuple[str, ...], splits: dict[str, int]
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        jsonl(tmp_path / name, ONE) if name.endswith("jsonl") else (tmp_path / name).write_text("text\na\n")
    found = TextData(tokenizer=tmp_path, root=tmp_path).tables()
    assert {str(split): len(table.files) for split, table in found.items()} == splits


def test_a_root_without_tables_and_nowhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.root=.*no table in it"):
        TextData(tokenizer=tmp_path, root=tmp_path).tables()
    with pytest.raises(DataError, match="no such folder"):
        TextData(tokenizer=tmp_path, root=tmp_path / "no").tables()
    with pytest.raises(ValidationError, match="says nowhere where the examples are"):
        TextData(tokenizer=tmp_path, calibration=tmp_path)
    with pytest.raises(ValidationError, match="root and train are both set"):
        TextData(tokenizer=tmp_path, root=tmp_path, train=tmp_path)
    with pytest.raises(ValidationError, match="classes names one twice"):
        TextData(tokenizer=tmp_path, train=tmp_path, classes=("a", "a"))


def test_training_needs_a_file_and_labels(tmp_path: Path) -> None:
    given = {"tokenizer": tmp_path, "evaluation": tmp_path / "e.csv"}
    assert "data.train is not set" in (TextData(**given).no_training() or "")
    assert "data.label is not set" in (TextData(**given, train=tmp_path / "t.csv").no_training() or "")
    assert TextData(**given, train=tmp_path / "t.csv", label="label").no_training() is None
    assert TextData(**given, train=tmp_path / "t.csv", tags="tags").no_training() is None
    assert Split.TRAIN == "train"
