"""Classes: shares, intervals, what is refused and what is told."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.errors import DataError, MeasureError, ModelError
from edgepipe.tasks.classification import Classification
from edgepipe.tasks.intervals import newcombe
from tests.tasks.drawn import DRAWN, SIGNATURE, answers


def test_the_share_of_right_classes_has_wilsons_interval_and_the_paired_drop_newcombes() -> None:
    task = Classification()
    labels = DRAWN.integers(0, 3, 200)
    good = np.eye(3, dtype=np.float32)[labels]
    worse = good.copy()
    worse[:20] = np.roll(good[:20], 1, axis=1)
    targets = task.targets(labels, SIGNATURE)
    measured = task.measured(answers(task, worse), targets)
    assert measured["top1"].value == 0.9
    assert measured["top1"].ci95 == pytest.approx((0.8506, 0.9343), abs=1e-3)
    assert measured["top5"].value is None
    drop = task.compared(answers(task, worse), answers(task, good), targets)["top1"]
    assert drop.value == pytest.approx(0.1)
    assert drop.ci95 is not None
    assert 0.06 < drop.ci95[0] < 0.1 < drop.ci95[1] < 0.16
    assert task.alike(answers(task, worse), answers(task, good)).sum() == 180
    assert task.lost(answers(task, worse), answers(task, good), targets).tolist() == list(range(20))
    assert task.say(targets, 0, SIGNATURE) == SIGNATURE.classes[labels[0]]


def test_the_interval_of_a_drop_is_of_all_examples_once() -> None:
    right = {"both": (0, 0, 70), "lost": (0, 1, 15), "won": (1, 0, 5), "neither": (1, 1, 10)}  # 0 is the label
    base, step = (
        np.concatenate([np.full(count, pair[side]) for *pair, count in right.values()]).astype(np.int64)
        for side in (0, 1)
    )
    before, now = ({"answers": each, "top5": each[:, None]} for each in (base, step))
    found = Classification().compared(now, before, {"labels": np.zeros(100, np.int64)})["top1"]
    assert found == (pytest.approx(0.1), newcombe(70, 15, 5, 10))


def test_agreement_is_with_the_baselines_answers_right_or_wrong() -> None:
    wrong = np.array([1, 1, 1, 0])
    given = {"answers": wrong, "top5": wrong[:, None]}
    task = Classification()
    assert task.alike(given, given).tolist() == [True] * 4
    assert task.measured(given, {"labels": np.zeros(4, np.int64)})["top1"].value == 0.25


def test_without_labels_a_classifier_is_measured_against_the_baseline() -> None:
    task = Classification()
    before = answers(task, np.eye(3, dtype=np.float32)[[0, 1, 2, 0]])
    now = answers(task, np.eye(3, dtype=np.float32)[[0, 1, 2, 1]])
    targets = task.targets_of(before)
    assert targets is not None
    assert task.measured(before, targets)["top1"].value == 1.0
    assert task.measured(now, targets)["top1"].value == 0.75
    assert task.compared(now, before, targets)["top1"].value == 0.25


def test_scores_that_are_no_classes_are_refused_in_words() -> None:
    task = Classification()
    with pytest.raises(MeasureError, match="NaN scores"):
        answers(task, np.array([[np.nan, 1.0]]))
    with pytest.raises(ModelError, match="one score for each example"):
        answers(task, np.zeros((4, 1), np.float32))
    with pytest.raises(MeasureError, match="expected one score per class"):
        answers(task, np.zeros((4, 2, 3), np.float32))
    with pytest.raises(DataError, match="integer labels"):
        task.targets(np.zeros(4), SIGNATURE)
    with pytest.raises(DataError, match="has a label 9"):
        task.check_labels({"out": np.zeros((2, 3), np.float32)}, {"labels": np.array([1, 9])}, "model.onnx")


def test_a_classifier_that_tells_nothing_apart_or_counts_other_classes_is_told() -> None:
    task = Classification()
    labels = np.arange(20) % 3
    one = answers(task, np.tile(np.array([[0.0, 1.0, 0.0]], np.float32), (20, 1)))
    assert "one class, 'bee'" in task.notes(one, None, task.targets(labels, SIGNATURE), SIGNATURE)[0]
    other = answers(task, np.eye(5, dtype=np.float32)[np.arange(20) % 5])
    said = task.notes(other, None, task.targets(labels, SIGNATURE), SIGNATURE)
    assert said[0].startswith("40% of the answers name a class beyond the 3")
