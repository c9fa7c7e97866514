"""Texts that every Python brings."""

from __future__ import annotations

from pathlib import Path

from edgepipe.contract import Split
from edgepipe.data.python_texts import PythonTextsData, sentences
from tests.data.texts import tokenizer


def test_sentences_are_many_different_and_drawn_by_seed(tmp_path: Path) -> None:
    found = sentences()
    assert len(found) > 1500 and len(set(found)) == len(found)
    data = PythonTextsData(tokenizer=tokenizer(tmp_path), evaluation_size=40, calibration_size=9).open(tmp_path)
    assert (data.count(Split.EVALUATION), data.count(Split.CALIBRATION)) == (40, 9)
    assert data.labels(Split.EVALUATION) is None
    assert data.signature.text is not None and data.signature.text.max_length == 128
    other = PythonTextsData(tokenizer=tmp_path, evaluation_size=40, seed=1).open(tmp_path)
    assert other.digest(Split.EVALUATION) != data.digest(Split.EVALUATION)
