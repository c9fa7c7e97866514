"""A class for every token: entities as seqeval counts them, padding left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from seqeval.metrics import f1_score, precision_score, recall_score

from edgepipe.contract import Answers, Signature, Tensor
from edgepipe.errors import DataError, MeasureError
from edgepipe.tasks.tokens import Tokens

BIO = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
RNG = np.random.default_rng(0)


def signature(classes: tuple[str, ...] = BIO) -> Signature:
    return Signature(inputs=(Tensor(name="input_ids", dtype="int64", shape=("length",)),), classes=classes)


def scored(tags: NDArray[Any], classes: int = 5) -> dict[str, NDArray[Any]]:
    return {"logits": (np.eye(classes)[tags] + 0.1).astype(np.float32)}


def answered(tags: NDArray[Any]) -> Answers:
    return Tokens().answers(scored(tags), signature(), "m.onnx")


def drawn(count: int = 60, length: int = 14) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels with padding, and answers of which one in five is another."""
    truth = RNG.choice(5, (count, length), p=[0.4, 0.2, 0.15, 0.15, 0.1])
    said = np.where(RNG.random(truth.shape) < 0.2, RNG.integers(0, 5, truth.shape), truth)
    for row, end in enumerate(RNG.integers(4, length + 1, count)):
        truth[row, end:] = -100
    truth[::3, 0] = -100
    return truth, said


def test_figures_are_those_of_seqeval_over_the_judged_tokens() -> None:
    truth, said = drawn()
    names = [
        [[BIO[tag] for tag in row[keep]] for row, keep in zip(each, truth != -100, strict=True)]
        for each in (truth, said)
    ]
    found = Tokens().measured(answered(said), Tokens().targets(truth, signature()))
    for name, score in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        assert found[name].value == pytest.approx(score(*names))
        assert found[name].ci95 is not None and found[name].ci95[0] < found[name].value < found[name].ci95[1]
    judged = truth != -100
    assert found["token_accuracy"].value == pytest.approx((said == truth)[judged].mean())


def test_without_marks_tokens_count_but_those_called_o() -> None:
    truth = np.array([[0, 1, 2, -100], [0, 0, 1, 1]])
    said = np.array([[0, 1, 1, 1], [1, 0, 1, 0]])
    plain = Tokens().measured(answered(said), Tokens().targets(truth, signature(("O", "X", "Y"))))
    assert plain["precision"].value == pytest.approx(2 / 4) and plain["recall"].value == pytest.approx(2 / 4)
    every = Tokens().measured(answered(said), Tokens().targets(truth, signature(("NOUN", "VERB", "X"))))
    assert every["f1"].value == every["token_accuracy"].value == pytest.approx(4 / 7)


def test_nothing_found_is_zero_and_nothing_there_no_figure() -> None:
    truth = np.array([[1, 2], [0, 0]])
    none = Tokens().measured(answered(np.zeros((2, 2), int)), Tokens().targets(truth, signature()))
    assert (none["f1"].value, none["precision"].value, none["recall"].value) == (0, 0, 0)
    empty = Tokens().measured(answered(truth), Tokens().targets(np.zeros((2, 2), int), signature()))
    assert empty["f1"].value is None and empty["token_accuracy"].value == 0.5


def test_texts_of_several_lengths_join_and_are_compared_in_pairs() -> None:
    task = Tokens()
    parts = [answered(np.array([[1, 2, 0]])), answered(np.array([[1]]))]
    joined = task.join(parts)
    assert joined["tags"].tolist() == [[1, 2, 0], [1, -1, -1]] and task.possible(joined, 2)
    truth = task.targets(np.array([[1, 2, 0, -100], [1, -100, -100, -100]]), signature())
    assert task.measured(joined, truth)["f1"].value == 1
    worse = answered(np.array([[1, 0, 0], [1, 1, 1]]))
    assert task.compared(worse, joined, truth)["f1"].value == pytest.approx(0.5)
    assert task.alike(worse, joined).tolist() == [False, False] and task.alike(joined, joined).all()
    assert task.lost(worse, joined, truth).tolist() == [0]
    assert task.say(joined, 0, signature()) == "B-PER I-PER O"
    told = task.targets_of(joined)
    assert told is not None and task.measured(joined, told)["f1"].value == 1
    assert task.measured(worse, told)["token_accuracy"].value == pytest.approx(3 / 4)


def test_labels_and_outputs_of_another_kind_are_refused() -> None:
    task = Tokens()
    with pytest.raises(DataError, match=r"these are float32 of shape \(2, 3\)"):
        task.targets(np.zeros((2, 3), np.float32), signature())
    with pytest.raises(DataError, match="all labels are -100"):
        task.targets(np.full((2, 3), -100), signature())
    with pytest.raises(DataError, match="a label is -1: classes count from 0"):
        task.targets(np.array([[0, -1]]), signature())
    with pytest.raises(MeasureError, match=r"float64 of shape \(2, 3\).*task=classification"):
        task.answers({"y": np.zeros((2, 3))}, signature(), "m.onnx")
    with pytest.raises(MeasureError, match="NaN scores"):
        task.answers({"y": np.full((1, 2, 3), np.nan)}, signature(), "m.onnx")
    with pytest.raises(DataError, match=r"a tag 4, but m\.onnx scores 3 classes, 0 to 2"):
        task.check_labels({"y": np.zeros((1, 2, 3))}, task.targets(np.array([[4]]), signature()), "m.onnx")
    assert "no scores (length, classes)" in (task.misfit([Tensor(name="y", shape=(5,))]) or "")
    assert task.misfit([Tensor(name="y", shape=("length", 5))]) is None
    assert not task.possible({"tags": np.array([[-7]])}, 1)


def test_the_loss_leaves_padding_out() -> None:
    logits = torch.randn(2, 3, 5, requires_grad=True)
    tags = torch.tensor([[1, -100, -100, -100], [0, 2, -100, -100]])
    rows = torch.stack([logits[0, 0], logits[1, 0], logits[1, 1]])
    wanted = torch.nn.functional.cross_entropy(rows, torch.tensor([1, 0, 2]))
    for outputs in (logits, (logits,), {"logits": logits}):
        assert torch.allclose(Tokens().loss(outputs, tags), wanted)
