"""Figures of rankings, held to scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.tasks.ranking import area, precision, ranked


def test_weighted_figures_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    truth = rng.random(200) < 0.3
    scores = (truth * 0.5 + rng.random(200)).round(1)  # many are equal
    weights = rng.integers(0, 4, (3, 200)).astype(float)
    for row, found in zip(weights, ranked(scores, truth, weights, area), strict=True):
        assert found == pytest.approx(metrics.roc_auc_score(truth, scores, sample_weight=row))
    for row, found in zip(weights, ranked(scores, truth, weights, precision), strict=True):
        assert found == pytest.approx(metrics.average_precision_score(truth, scores, sample_weight=row))


def test_of_one_kind_alone_there_is_no_figure() -> None:
    ones = np.ones((1, 4))
    scores = np.arange(4.0)
    assert np.isnan(ranked(scores, np.ones(4, bool), ones, area)).all()
    assert np.isnan(ranked(scores, np.zeros(4, bool), ones, precision)).all()
