from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgepipe.data.splits import hold_out, stratified_order

LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=60)


def hashes(count: int, distinct: int = 1000) -> list[str]:
    return [hashlib.sha256(str(row % distinct).encode()).hexdigest() for row in range(count)]


@given(LABELS, st.integers(0, 5))
def test_order_is_a_permutation_and_every_prefix_is_in_proportion(values: list[int], seed: int) -> None:
    labels = np.array(values, np.int64)
    order = stratified_order(hashes(len(values)), labels, seed)
    assert sorted(order.tolist()) == list(range(len(values)))
    total = np.bincount(labels, minlength=4)
    for size in range(1, len(values) + 1):
        part = np.bincount(labels[order[:size]], minlength=4)
        assert np.abs(part - total * size / len(values)).max() <= 2


@given(LABELS, st.integers(1, 60), st.integers(1, 10))
def test_held_out_content_is_never_in_train(values: list[int], count: int, distinct: int) -> None:
    texts = hashes(len(values), distinct)
    train, held = hold_out(texts, np.array(values, np.int64), 0, min(count, len(values)))
    assert len(train) + len(held) == len(values)
    assert not {texts[row] for row in train} & {texts[row] for row in held}


def test_order_does_not_change_between_versions() -> None:
    order = stratified_order(hashes(12), np.arange(12, dtype=np.int64) % 2, 0)
    assert order.tolist() == [4, 5, 0, 3, 9, 2, 11, 6, 1, 10, 7, 8]
