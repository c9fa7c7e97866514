"""Scores of examples and of frames: as scikit-learn measures them, with intervals over examples."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.contract import Signature, Tensor
from edgepipe.errors import DataError, MeasureError
from edgepipe.tasks.scores import Scores
from tests.tasks.drawn import SIGNATURE, answers

RNG = np.random.default_rng(5)
TRUTH = (RNG.random((60, 20)) < 0.4).astype(np.int64)
FRAMES = np.clip(0.35 * TRUTH + 0.65 * RNG.random((60, 20)), 0, 1).astype(np.float32)


@pytest.mark.parametrize("shape", [(60, 20), (60, 20, 1), (60, 1, 20)])
def test_frames_are_measured_as_scikit_learn_measures_them_and_some_are_left_out(shape: tuple[int, ...]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    task, labels = Scores(), TRUTH.copy()
    labels[:, 15:] = -1
    found = task.measured(answers(task, FRAMES.reshape(shape)), task.targets(labels, SIGNATURE))
    truth, scores = labels[:, :15].ravel(), FRAMES[:, :15].ravel()
    assert found["roc_auc"].value == pytest.approx(metrics.roc_auc_score(truth, scores))
    assert found["average_precision"].value == pytest.approx(metrics.average_precision_score(truth, scores))
    assert found["f1"].value == pytest.approx(metrics.f1_score(truth, scores >= 0.5))


def test_intervals_draw_examples_whose_frames_hang_together() -> None:
    task = Scores()
    alike = np.repeat(FRAMES[:, :1], 20, axis=1)  # twenty frames that say no more than one
    labels = np.repeat(TRUTH[:, :1], 20, axis=1)
    wide = task.measured(answers(task, alike), task.targets(labels, SIGNATURE))["roc_auc"].ci95
    one = task.measured(answers(task, FRAMES[:, 0]), task.targets(TRUTH[:, 0], SIGNATURE))["roc_auc"].ci95
    assert wide is not None and wide == pytest.approx(one)


def test_a_drop_is_paired() -> None:
    task, targets = Scores(), Scores().targets(TRUTH, SIGNATURE)
    before = answers(task, FRAMES)
    after = answers(task, FRAMES + 0.02 * RNG.standard_normal(FRAMES.shape).astype(np.float32))
    alone, drop = task.measured(after, targets)["roc_auc"], task.compared(after, before, targets)["roc_auc"]
    assert alone.ci95 is not None and drop.ci95 is not None
    assert drop.ci95[1] - drop.ci95[0] < 0.5 * (alone.ci95[1] - alone.ci95[0])


def test_the_threshold_is_a_half_as_probability_or_logit_or_what_is_said() -> None:
    probabilities, logits = np.array([0.4, 0.6], np.float32), np.array([-0.4, 0.6], np.float32)
    assert Scores().targets_of(answers(Scores(), probabilities))["labels"].ravel().tolist() == [0, 1]  # type: ignore[index]
    assert Scores().targets_of(answers(Scores(), logits))["labels"].ravel().tolist() == [0, 1]  # type: ignore[index]
    task = Scores(threshold=0.3)
    assert task.targets_of(answers(task, probabilities))["labels"].ravel().tolist() == [1, 1]  # type: ignore[index]


def test_two_columns_pooled_frames_and_classes() -> None:
    two = np.stack([1 - FRAMES[:, 0], FRAMES[:, 0]], axis=1)
    assert np.array_equal(answers(Scores(column=1), two)["scores"], FRAMES[:, :1])
    assert np.array_equal(answers(Scores(pool="max"), FRAMES)["scores"], FRAMES.max(axis=1, keepdims=True))
    with pytest.raises(MeasureError, match=r"has no task\.column=7"):
        answers(Scores(column=7), two)
    task = Scores(positive="bee")
    assert task.targets(np.array([0, 1, 2, -1]), SIGNATURE)["labels"].ravel().tolist() == [0, 1, 0, -1]
    with pytest.raises(DataError, match=r"task\.positive=cow: the data has no such class, only ant, bee, cat"):
        Scores(positive="cow").targets(np.array([0, 1]), SIGNATURE)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0.0, 1.0]), "these are float64"),
        (np.array([0, 1, 2]), r"say which is the positive one with task\.positive"),
        (np.array([1, 1, -1]), r"all \{1\}"),
    ],
)
def test_labels_of_another_kind_are_refused(labels: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Scores().targets(labels, SIGNATURE)


def test_frames_and_labels_must_be_as_many() -> None:
    task = Scores()
    with pytest.raises(DataError, match=r"gives 20 scores for an example, and the labels 1: .*task\.pool"):
        task.check_labels({"y": FRAMES}, task.targets(TRUTH[:, 0], SIGNATURE), "m.onnx")
    assert task.misfit([Tensor(name="y", shape=("steps", 1))]) is None
    assert "no score" in (task.misfit([Tensor(name="y", shape=(5, 4))]) or "")


def test_what_is_alike_and_what_is_lost_and_said() -> None:
    task = Scores()
    targets = task.targets(TRUTH, SIGNATURE)
    near, turned = FRAMES.copy(), FRAMES.copy()
    near[0] += np.where(np.abs(near[0] - 0.5) > 0.02, 0.01, 0) * np.sign(near[0] - 0.5)
    turned[1] = 1 - turned[1]
    base = answers(task, FRAMES)
    assert task.alike(answers(task, near), base).all()
    assert np.flatnonzero(~task.alike(answers(task, turned), base)).tolist() == [1]
    assert set(task.lost(answers(task, turned), base, targets).tolist()) <= {1}
    assert task.say(targets, 0, SIGNATURE) == f"yes in {TRUTH[0].sum()} of 20 frames"
    assert task.say(answers(task, FRAMES[:, 0]), 3, SIGNATURE) == f"{FRAMES[3, 0]:.4g}"


def test_a_model_that_ranks_by_chance_is_told_once() -> None:
    task, targets = Scores(), Scores().targets(TRUTH, SIGNATURE)
    chance = answers(task, RNG.random(FRAMES.shape).astype(np.float32))
    assert "hardly better than chance" in task.notes(chance, None, targets, Signature(inputs=()))[0]
    assert (
        task.notes(chance, chance, targets, SIGNATURE)
        == task.notes(answers(task, FRAMES), None, targets, SIGNATURE)
        == []
    )
