"""Outputs of models that write texts by CTC, for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SYMBOLS = ("a", "b", "c", "d")
TEXTS = ("ab", "abba", "cad", "d", "bad cab", "aaa", "dcba", "cc", "abcd", "b", "dd d", "cab")
"""With letters twice in a row, which a blank must part, and spaces."""


def scores_of(texts: Sequence[str], symbols: Sequence[str] = SYMBOLS, steps: int = 16) -> np.ndarray:
    """float32, (n, steps, 2 + symbols), logits: the blank is first, a space last, as PaddleOCR has them."""
    classes = ["", *symbols, " "]
    drawn = np.random.default_rng(1).random((len(texts), steps, len(classes)))
    for row, text in enumerate(texts):
        place = 0
        for letter in text:
            drawn[row, place, classes.index(letter)] += 4
            drawn[row, place + 1, 0] += 4
            place += 2
        drawn[row, place:, 0] += 4
    return drawn.astype(np.float32)
