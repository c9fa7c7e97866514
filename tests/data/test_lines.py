"""Batches of lines of several widths."""

from __future__ import annotations

import numpy as np

from edgepipe.contract import Split
from edgepipe.data.drawn_text import DrawnTextData
from edgepipe.data.lines import Lines, LineSource, prepared


def source(widths: list[int], longer: str = "keep") -> LineSource:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (10, width, 3), np.uint8) for width in widths]
    texts = [f"t{row}" for row in range(len(widths))]
    lines = Lines(texts, texts, [f"{row:064x}" for row in range(len(widths))], lambda row: pictures[row])
    settings = DrawnTextData(height=10, width=32, workers=2, longer=longer)
    return LineSource("here", settings, dict.fromkeys(Split, lines))


def test_lines_of_one_width_are_batched_in_order_and_those_of_another_begin_a_new_batch() -> None:
    data = source([20, 30, 32, 60, 64, 10])
    batches = list(data.batches(Split.EVALUATION, 2))
    assert [batch.only.shape for batch in batches] == [(2, 3, 10, 32), (1, 3, 10, 32), (2, 3, 10, 64), (1, 3, 10, 32)]
    assert [text for batch in batches for text in batch.labels] == ["t0", "t1", "t2", "t3", "t4", "t5"]  # type: ignore[union-attr]
    chosen = list(data.batches(Split.EVALUATION, 4, [5, 0]))
    assert [batch.labels.tolist() for batch in chosen] == [["t5", "t0"]]  # type: ignore[union-attr]
    alone = next(data.batches(Split.EVALUATION, 1, [0])).only
    assert np.array_equal(chosen[0].only[1:], alone)


def test_squeezed_lines_have_one_shape() -> None:
    data = source([20, 300], "squeeze")
    assert data.signature.input_shape == (3, 10, 32)
    (batch,) = data.batches(Split.EVALUATION, 4)
    assert batch.only.shape == (2, 3, 10, 32)


def test_what_is_free_is_0_after_normalization() -> None:
    about = DrawnTextData(height=4, width=8).preprocessing
    found = prepared(np.zeros((1, 4, 5, 3), np.uint8), about)
    assert (found[..., :5] == -1).all() and (found[..., 5:] == 0).all() and found.shape == (1, 3, 4, 8)
