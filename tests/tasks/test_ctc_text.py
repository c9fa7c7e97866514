"""Texts by CTC: what is read out of scores, and how it is measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from edgepipe.contract import Signature, Tensor
from edgepipe.contract.data import as_numbers
from edgepipe.errors import DataError, MeasureError, ModelError
from edgepipe.tasks import ctc
from edgepipe.tasks.ctc_text import CtcText
from tests.tasks.drawn import SIGNATURE, answers
from tests.tasks.written import SYMBOLS, TEXTS, scores_of

pytest.importorskip("rapidfuzz")
TASK = CtcText(alphabet=SYMBOLS)


def said(task: CtcText, scores: np.ndarray) -> list[str]:
    found = answers(task, scores)
    return [task.say(found, row, SIGNATURE) for row in range(len(scores))]


def test_the_best_path_is_read_without_repetitions_and_blanks_whatever_the_scores_are() -> None:
    scores = scores_of(TEXTS)
    assert said(TASK, scores) == list(TEXTS)
    shares = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
    assert said(TASK, shares) == said(TASK, np.log(shares)) == list(TEXTS)
    assert said(TASK, scores.transpose(0, 2, 1)[:, :, :11]) == said(TASK, scores[:, :11])


def test_repetitions_need_a_blank_between_them() -> None:
    scores = np.full((1, 5, 6), -1.0, np.float32)
    for step, symbol in enumerate([1, 1, 0, 1, 2]):
        scores[0, step, symbol] = 1
    assert said(TASK, scores) == ["aab"]


def test_the_blank_may_be_any_class_and_the_space_a_symbol_of_its_own() -> None:
    scores = scores_of(TEXTS)[:, :, [1, 2, 3, 4, 5, 0]]
    last = CtcText(alphabet=(*SYMBOLS, "|"), blank=-1, space="|")
    assert said(last, scores) == list(TEXTS)
    with_blank = CtcText(alphabet=(*SYMBOLS, "|", "<pad>"), blank=5, space="|")
    assert said(with_blank, scores) == list(TEXTS)
    assert said(CtcText(alphabet=(*SYMBOLS, "|"), blank=5, space="|", ignore_space=True), scores)[4] == "badcab"


def test_an_alphabet_that_does_not_fit_is_refused_with_both_numbers() -> None:
    with pytest.raises(MeasureError, match=r"scores 6 classes, and task\.alphabet has 2 symbols"):
        answers(CtcText(alphabet=("a", "b")), scores_of(TEXTS))
    with pytest.raises(MeasureError, match=r"task\.blank=9 is none"):
        answers(CtcText(alphabet=SYMBOLS, blank=9), scores_of(TEXTS))
    told = CtcText(alphabet=("a", "b")).misfit([Tensor(name="o", shape=("T", 6))])
    assert told is None  # an axis of no fixed length may be anything
    assert "scores 6 classes" in (CtcText(alphabet=("a", "b")).misfit([Tensor(name="o", shape=(9, 6))]) or "")
    assert TASK.misfit([Tensor(name="o", shape=("T", 6))]) is None


def test_the_alphabet_comes_from_the_models_metadata_where_the_recipe_says_none() -> None:
    found = CtcText().with_model({"character": "a\nb\nc\nd\n"})
    assert found.alphabet == SYMBOLS
    with pytest.raises(ModelError, match=r"task\.alphabet is not set"):
        CtcText().with_model({})


def test_rates_are_edits_over_letters_and_words_of_all_texts_together() -> None:
    from rapidfuzz.distance import Levenshtein

    wanted = np.array(["ab", "bad cab", "dcba"])
    targets = TASK.targets(wanted, SIGNATURE)
    found = TASK.measured(answers(TASK, scores_of(("ab", "bad", "dcbab"))), targets)
    letters = [Levenshtein.distance(a, b) for a, b in zip(("ab", "bad", "dcbab"), wanted.tolist(), strict=True)]
    assert letters == [0, 4, 1]
    assert found["cer"].value == pytest.approx(5 / 13)
    assert found["exact"].value == pytest.approx(1 / 3)
    assert found["wer"].value == pytest.approx(2 / 4)


def test_the_rise_has_a_paired_interval_that_is_narrower_than_that_of_the_rate() -> None:
    wanted = [TEXTS[row % 12] for row in range(120)]
    targets = TASK.targets(np.array(wanted), SIGNATURE)
    half = [text if row % 2 else f"{text[:-1]}" for row, text in enumerate(wanted)]
    worse = [text if row % 40 else "" for row, text in enumerate(half)]
    before, now = (answers(TASK, scores_of(texts)) for texts in (half, worse))
    rate, rise = TASK.measured(now, targets)["cer"], TASK.compared(now, before, targets)["cer"]
    assert rate.ci95 is not None and rise.ci95 is not None and rise.value is not None
    assert rise.ci95[0] <= rise.value <= rise.ci95[1]
    assert rise.ci95[1] - rise.ci95[0] < rate.ci95[1] - rate.ci95[0]
    assert TASK.alike(now, before).sum() == 117
    assert TASK.lost(now, before, targets).tolist() == []  # those three were wrong before


def test_answers_of_batches_are_joined_to_the_length_of_the_longest() -> None:
    parts = [answers(TASK, scores_of(TEXTS[:3])), answers(TASK, scores_of(TEXTS[3:]))]
    joined = TASK.join(parts)
    assert joined["texts"].shape == (12, 7)
    assert [TASK.say(joined, row, SIGNATURE) for row in range(12)] == list(TEXTS)


def test_labels_that_are_no_texts_are_refused_and_an_empty_text_is_said() -> None:
    with pytest.raises(DataError, match="a text for each example"):
        TASK.targets(np.arange(3), SIGNATURE)
    with pytest.raises(DataError, match="the labels are empty"):
        TASK.targets(np.array(["", " "]), SIGNATURE)
    assert said(TASK, scores_of(["", "ab"])) == ["(no text)", "ab"]


def test_a_model_that_reads_nothing_right_and_letters_that_nobody_can_read_are_told() -> None:
    targets = TASK.targets(np.array(["xyz", "ab"]), SIGNATURE)
    notes = TASK.notes(answers(TASK, scores_of(["d", "cc"])), None, targets, Signature(input_shape=(1,)))
    assert "100% of the letters are wrong" in notes[0]
    assert "'x', 'y', 'z'" in notes[1]
    assert TASK.notes(answers(TASK, scores_of(["ab", "ab"])), {}, targets, SIGNATURE) == []


def test_the_loss_is_that_of_torch_and_falls_when_it_is_followed() -> None:
    texts = as_numbers(np.array(["ab", "cad"]))
    assert texts.tolist() == [[97, 98, 0], [99, 97, 100]]
    scores = torch.from_numpy(scores_of(["ab", "cad"])).requires_grad_()
    loss = TASK.loss(scores, torch.from_numpy(texts))
    wanted = torch.nn.CTCLoss()(
        scores.log_softmax(-1).transpose(0, 1),
        torch.tensor([[1, 2, 0], [3, 1, 4]]),
        torch.tensor([16, 16]),
        torch.tensor([2, 3]),
    )
    assert loss.item() == pytest.approx(wanted.item())
    assert TASK.loss((scores.softmax(-1),), torch.from_numpy(texts)).item() == pytest.approx(loss.item(), abs=1e-3)
    loss.backward()
    assert scores.grad is not None
    assert TASK.loss(scores.detach() - scores.grad, torch.from_numpy(texts)).item() < loss.item()
    with pytest.raises(DataError, match="'x'"):
        TASK.loss(scores, torch.tensor([[120], [97]]))


@pytest.mark.parametrize("turned", [False, True])
def test_the_program_of_bundles_says_the_text_that_is_measured(turned: bool) -> None:
    scores = scores_of(TEXTS, steps=20)
    task = CtcText(alphabet=(*SYMBOLS, "|"), space="|")
    outputs = {"scores": scores.transpose(0, 2, 1) if turned else scores, "beside": scores[:, 0]}
    settings = json.loads(json.dumps(task.for_program(outputs, SIGNATURE)))
    assert settings["turned"] is turned
    for row, text in enumerate(TEXTS):
        assert ctc.say({name: value[row] for name, value in outputs.items()}, settings, (), None) == text
    blank = np.zeros_like(outputs["scores"][0])
    assert ctc.say({"scores": blank}, settings, (), None) == "(no text)"
    with pytest.raises(ModelError, match=r"task\.alphabet is not set"):
        CtcText().for_program(outputs, SIGNATURE)
