"""Entities are those that seqeval finds, whatever the tags."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from seqeval.metrics.sequence_labeling import get_entities

from edgepipe.tasks.entities import entities, is_marked, kinds_of

CLASSES = ("O", *(f"{mark}-{kind}" for mark in "BIES" for kind in ("PER", "LOC")))


@pytest.mark.parametrize("marks", ["BI", "BIES", "I"])
def test_random_rows_hold_what_seqeval_finds_in_them(marks: str) -> None:
    rng = np.random.default_rng(0)
    allowed = [row for row, name in enumerate(CLASSES) if name[0] in marks or name == "O"]
    kinds = kinds_of(CLASSES)
    for _ in range(400):
        row = rng.choice(allowed, rng.integers(0, 12))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = set(get_entities([CLASSES[tag] for tag in row]))
        names = {1: "LOC", 2: "PER"}
        assert {(names[kind], first, last) for kind, first, last in entities(row, kinds)} == wanted


def test_bilou_is_iobes_and_a_tag_beyond_the_classes_none() -> None:
    bilou = ("O", "B-X", "I-X", "L-X", "U-X")
    assert entities(np.array([1, 2, 3, 4, 0, 9, -1]), kinds_of(bilou)) == {(1, 0, 2), (1, 3, 3)}
    assert is_marked(bilou) and not is_marked(("NOUN", "VERB", "I")) and not is_marked(())
