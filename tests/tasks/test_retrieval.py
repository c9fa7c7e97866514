"""Neighbours found again, against scipy and a plain search."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from edgepipe.tasks import retrieval
from edgepipe.tasks.retrieval import found_again

RNG = np.random.default_rng(0)


def test_recall_and_correlation_are_those_of_a_plain_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "_BLOCK", 100)  # blocks of two queries
    then = RNG.standard_normal((40, 8)).astype(np.float32)
    now = (then + 0.4 * RNG.standard_normal(then.shape)).astype(np.float32)
    found = found_again(3 * now, then)
    assert found is not None
    for query in range(40):
        others = [row for row in range(40) if row != query]
        sides = []
        for vectors in (now, then):
            unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            sides.append(unit[others] @ unit[query])
        near = [set(np.argsort(-side)[:10]) for side in sides]
        assert found[0][query] == pytest.approx(len(near[0] & near[1]) / 10)
        assert found[1][query] == pytest.approx(spearmanr(*sides).statistic)


def test_equal_vectors_find_all_again_and_few_say_nothing() -> None:
    vectors = RNG.standard_normal((1500, 4)).astype(np.float32)
    vectors[700:] = vectors[:800]  # copies are found in the same order
    for same in (vectors, 2 * vectors):
        found = found_again(same, vectors)
        assert found is not None and len(found[0]) == 500
        assert (found[0] == 1).all() and found[1] == pytest.approx(1)
    assert found_again(vectors[:11], vectors[:11]) is None
