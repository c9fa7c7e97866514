"""Drawn lines: the same everywhere, no two alike, and written with letters that recognizers know."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edgepipe.contract import Split
from edgepipe.data.drawn_text import DrawnTextData, drawn, text_of
from edgepipe.errors import DataError


def test_texts_hang_on_seed_and_row_alone() -> None:
    assert [text_of(0, row, 3) for row in range(4)] == ["NEWS", "QDK 63 Life", "WAGE", "NYH next"]
    assert text_of(1, 0, 3) != "NEWS"
    texts = [text_of(0, row, 3) for row in range(500)]
    assert len(set(texts)) > 450
    assert all(set(text) < set(map(chr, range(32, 127))) and text == text.strip() for text in texts)


def test_lines_are_drawn_within_their_picture_and_differ_in_look() -> None:
    pictures = [drawn("Hello 12", 0, row, 0.0) for row in range(12)]
    assert len({hashlib.sha256(picture.tobytes()).digest() for picture in pictures}) == 12
    for picture in pictures:
        assert picture.dtype == np.uint8 and picture.shape[2] == 3 and 30 <= picture.shape[0] <= 100
        paper = picture[0, 0].astype(int)
        assert (np.abs(picture[[0, -1]].astype(int) - paper) <= 2).all()  # the margin is free
        assert np.abs(picture.astype(int) - paper).max() > 40


def test_splits_are_other_lines_and_another_seed_gives_others(tmp_path: Path) -> None:
    settings = {"evaluation_size": 12, "train_size": 10, "calibration_size": 4, "workers": 0}
    data, again, other = (DrawnTextData(**settings, seed=seed).open(tmp_path) for seed in (0, 0, 1))
    assert [data.count(split) for split in Split] == [10, 4, 12]
    assert data.digest(Split.EVALUATION) == again.digest(Split.EVALUATION) != other.digest(Split.EVALUATION)
    labels = data.labels(Split.EVALUATION)
    assert labels is not None and labels[1] == "QDK 63 Life"
    with pytest.raises(DataError, match="calibration_size=20 of 10"):
        DrawnTextData(**{**settings, "calibration_size": 20}).open(tmp_path)
