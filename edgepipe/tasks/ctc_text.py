"""A text for each example, written by connectionist temporal classification: lines of print, speech."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgepipe.base.text import printable
from edgepipe.contract import Answers, Figure, Measure, Signature, Targets, Task, Tensor
from edgepipe.contract.settings import PathText
from edgepipe.errors import DataError, MeasureError
from edgepipe.tasks import alphabets
from edgepipe.tasks.bootstrap import interval
from edgepipe.tasks.ctc import best_path
from edgepipe.tasks.intervals import newcombe, wilson

if TYPE_CHECKING:
    import torch

_TEXTS = "texts"
_LAST_CODE = 0x10FFFF
_LOST = 0.5
"""Character error rate from which a model as it came can hardly be fed or read rightly."""
_SHOWN = 80


class CtcText(Task):
    """A text for each example: scores of symbols in time, (steps, symbols), decoded greedily by CTC.

    The best-scored symbol of each step, repetitions once, without the blank; logits, their logarithms and
    probabilities are read alike. Distances are Levenshtein's. Labels are texts.

    Source: Graves et al., Connectionist Temporal Classification, ICML 2006, section 3.2 (best path decoding).
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "cer",
            "CER",
            "lower",
            "character error rate: edits from the model's texts to the right ones over the letters of these",
            unit="share",
            worse_by=0.005,
        ),
        Measure("exact", "exact", "higher", "share of texts that are right as a whole", unit="share", worse_by=0.01),
        Measure(
            "wer",
            "WER",
            "lower",
            "word error rate: edits of words over the words of the right texts",
            unit="share",
            worse_by=0.01,
            column=False,
        ),
    )
    trains: ClassVar[bool] = True
    covers: ClassVar[bool] = True
    page: ClassVar[str] = "edgepipe.tasks/pages/ctc_text.mjs"
    program: ClassVar[str] = "edgepipe.tasks.ctc"

    alphabet: PathText | tuple[str, ...] | None = Field(
        None,
        description="symbols in the order of the model's classes: a file with one on each line, or a list; null: as "
        "the model's own metadata says, as PaddleOCR's models do",
    )
    blank: int = Field(0, description="class of the blank; negative: from the end, -1 is the last")
    space: str | None = Field(None, min_length=1, description="symbol that stands for a space, as '|' does for some")
    ignore_space: bool = Field(False, description="leave spaces out of both texts, as PaddleOCR's own measure does")

    def with_model(self, said: Mapping[str, str]) -> CtcText:
        """The alphabet is read, from its file or from the metadata.

        Raises:
            ModelError: nobody says it. RecipeError: the file cannot be read.
        """
        _distance()
        found = self._symbols() or alphabets.of_metadata(said)
        if not found:
            raise alphabets.lacking()
        return self.model_copy(update={"alphabet": tuple(found)})

    def _symbols(self) -> tuple[str, ...] | None:
        return alphabets.of_file(Path(self.alphabet)) if isinstance(self.alphabet, str) else self.alphabet

    def misfit(self, outputs: Sequence[Tensor]) -> str | None:
        first, symbols = outputs[0], self._symbols()
        told = f"its first output is {first.dtype} {list(first.shape)} for each example"
        if not first.dtype.startswith("float") or len(first.shape) != 2:
            return f"{told}, no scores of symbols in time, (steps, symbols)"
        sizes = [axis for axis in first.shape if isinstance(axis, int)]
        if symbols and len(sizes) == 2 and not any(alphabets.fits(symbols, size) for size in sizes):
            return f"{told}: it {alphabets.misfit(symbols, sizes[-1])}"
        return None

    def targets(self, raw: NDArray[Any], signature: Signature) -> Targets:
        """`texts`: int32, (n, longest), code points, 0 behind the end."""
        labels = np.asarray(raw)
        if labels.dtype.kind != "U" or labels.ndim != 1:
            raise DataError(
                f"task: ctc_text needs a text for each example as label, and these are {labels.dtype} of shape "
                f"{labels.shape}"
            )
        if not (set("".join(labels.tolist())) - {" "}):
            raise DataError("task: ctc_text: the labels are empty: there is no text to find")
        return {_TEXTS: _codes([self._plain(text) for text in labels.tolist()])}

    def _plain(self, text: str) -> str:
        if self.ignore_space:
            return text.replace(" ", "")
        return text.strip(" ")

    def answers(self, outputs: Mapping[str, NDArray[Any]], signature: Signature, what: str) -> Answers:
        """`texts`: int32, (n, longest), code points, 0 behind the end."""
        scores, symbols = np.asarray(next(iter(outputs.values()))), self._symbols()
        if symbols is None:
            raise alphabets.lacking()
        if scores.ndim != 3 or scores.dtype.kind != "f":
            raise MeasureError(
                f"{what}: its first output is {scores.dtype} of shape {tuple(scores.shape)}; wanted are scores of "
                "symbols in time, (examples, steps, symbols). Set task=agreement for other models"
            )
        if np.isnan(scores).any() or np.isposinf(scores).any():
            raise MeasureError(f"{what}: NaN or infinite scores on the evaluation examples: the step lost the model")
        if _turned(symbols, scores.shape):
            scores = scores.transpose(0, 2, 1)
        table = alphabets.table(symbols, scores.shape[2], self.blank, what)
        return {_TEXTS: _codes([self._plain(text) for text in best_path(scores, table, self.space)])}

    def for_page(self, outputs: Mapping[str, NDArray[Any]], signature: Signature) -> dict[str, Any]:
        """`table`: the symbol of each class; `turned`: whether the axis of steps comes last."""
        shape, symbols = np.asarray(next(iter(outputs.values()))).shape, self._symbols()
        if symbols is None:
            raise alphabets.lacking()
        turned = _turned(symbols, shape)
        table = alphabets.table(symbols, shape[1 if turned else 2], self.blank, "the model")
        return {"table": table, "turned": turned, "space": self.space, "ignore_space": self.ignore_space}

    def for_program(self, outputs: Mapping[str, NDArray[Any]], signature: Signature) -> dict[str, Any]:
        """What the page is given, and `output`, the name of the one with scores."""
        return {"output": next(iter(outputs)), **self.for_page(outputs, signature)}

    def join(self, parts: Sequence[Answers]) -> Answers:
        longest = max(part[_TEXTS].shape[1] for part in parts)
        wide = [np.pad(part[_TEXTS], ((0, 0), (0, longest - part[_TEXTS].shape[1]))) for part in parts]
        return {_TEXTS: np.concatenate(wide)}

    def possible(self, answers: Answers, count: int) -> bool:
        texts = answers.get(_TEXTS)
        return (
            texts is not None
            and len(answers) == 1
            and texts.ndim == 2
            and len(texts) == count
            and texts.dtype.kind in "iu"
            and (not texts.size or 0 <= int(texts.min()) <= int(texts.max()) <= _LAST_CODE)
        )

    def targets_of(self, baseline: Answers) -> Targets | None:
        return {_TEXTS: baseline[_TEXTS]}

    def measured(self, answers: Answers, targets: Targets) -> dict[str, Figure]:
        wanted = _texts(targets)
        letters, words = _errors(_texts(answers), wanted)
        right = int((letters == 0).sum())
        return {
            "cer": _rate(letters, _lengths(wanted)),
            "exact": Figure(right / len(letters), wilson(right, len(letters))),
            "wer": _rate(words, _words(wanted)),
        }

    def compared(self, answers: Answers, baseline: Answers, targets: Targets) -> dict[str, Figure]:
        """Of both rates an interval of the difference over the same draws; of whole texts Newcombe's."""
        wanted, now, then = _texts(targets), _texts(answers), _texts(baseline)
        if len(now) != len(then):
            raise MeasureError(f"predictions on {len(now)} and {len(then)} examples cannot be compared")
        (letters, words), (letters_then, words_then) = _errors(now, wanted), _errors(then, wanted)
        right, before = letters == 0, letters_then == 0
        lost, won = int((before & ~right).sum()), int((right & ~before).sum())
        both = int((right & before).sum())
        spread = newcombe(both, lost, won, len(right) - both - lost - won)
        return {
            "cer": _rate(letters - letters_then, _lengths(wanted)),
            "exact": Figure((lost - won) / len(right), spread),
            "wer": _rate(words - words_then, _words(wanted)),
        }

    def alike(self, answers: Answers, baseline: Answers) -> NDArray[np.bool_]:
        """Where the texts are equal."""
        return np.array([one == other for one, other in zip(_texts(answers), _texts(baseline), strict=True)], np.bool_)

    def lost(self, answers: Answers, baseline: Answers, targets: Targets) -> NDArray[np.int64]:
        found = zip(_texts(answers), _texts(baseline), _texts(targets), strict=True)
        return np.flatnonzero([then == wanted != now for now, then, wanted in found])

    def say(self, values: Mapping[str, NDArray[Any]], index: int, signature: Signature) -> str:
        text = _texts({_TEXTS: values[_TEXTS][index : index + 1]})[0]
        return printable(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…") or "(no text)"

    def notes(
        self, answers: Answers, baseline: Answers | None, targets: Targets | None, signature: Signature
    ) -> list[str]:
        if baseline is not None or targets is None:
            return []
        found, symbols = [], self._symbols() or ()
        rate = self.measured(answers, targets)["cer"].value
        if rate is not None and rate > _LOST:
            found.append(
                f"{100 * rate:.0f}% of the letters are wrong before anything is compressed: the model is likely fed or "
                f"read wrongly. It says '{self.say(answers, 0, signature)}' where '{self.say(targets, 0, signature)}' "
                "is right: compare the data's preprocessing (height, order of colours, mean and std), task.alphabet "
                "and task.blank with those that it was trained with"
            )
        known = {letter for symbol in symbols for letter in symbol} | {" "}
        strange = sorted({letter for text in _texts(targets) for letter in text} - known)
        if strange:
            found.append(f"labels hold letters that the alphabet lacks, always errors: {alphabets.shown(strange)}")
        return found

    def loss(self, outputs: Any, targets: Any) -> Any:
        """CTC loss, mean of the examples, each divided by the length of its text.

        Args:
            outputs: (n, steps, symbols), logits, or their logarithms or probabilities after a soft-max.
            targets: int64, (n, longest), code points, 0 behind the end.
        Raises:
            DataError: a text has a letter that the alphabet lacks.
        """
        import torch
        from torch.nn import functional

        first = _first_tensor(outputs)
        symbols = self._symbols()
        if symbols is None:
            raise alphabets.lacking()
        table = alphabets.table(symbols, first.shape[2], self.blank, "the network")
        place = table.index("")
        texts, lengths = _numbered(targets, {symbol: number for number, symbol in enumerate(table) if symbol})
        shares = bool((first >= 0).all() and ((first.sum(-1) - 1).abs() < 1e-3).all())
        likely = first.clamp_min(1e-9).log() if shares else first.log_softmax(-1)
        steps = torch.full((len(first),), first.shape[1], dtype=torch.int64)
        # A text longer than the steps has no path: its loss is infinite, and would end the training.
        return functional.ctc_loss(
            likely.transpose(0, 1).float(), texts, steps, lengths, blank=place, reduction="mean", zero_infinity=True
        )


def _first_tensor(outputs: Any) -> torch.Tensor:
    found = outputs
    while not hasattr(found, "log_softmax"):
        found = next(iter(found.values())) if isinstance(found, Mapping) else found[0]
    tensor: torch.Tensor = found
    return tensor


def _numbered(codes: torch.Tensor, numbers: Mapping[str, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """(int64 (n, longest), int64 (n,)): classes of the letters, and how many each text has."""
    import torch

    texts = ["".join(chr(code) for code in row if code) for row in codes.tolist()]
    lacking = sorted({letter for text in texts for letter in text if letter not in numbers})
    if lacking:
        raise DataError(f"labels hold letters that task.alphabet lacks: {alphabets.shown(lacking)}: add or remove them")
    lengths = torch.tensor([len(text) for text in texts])
    found = torch.zeros(len(texts), max(1, int(lengths.max())), dtype=torch.int64)
    for row, text in enumerate(texts):
        found[row, : len(text)] = torch.tensor([numbers[letter] for letter in text], dtype=torch.int64)
    return found.to(codes.device), lengths


def _turned(symbols: Sequence[str], shape: Sequence[int]) -> bool:
    """Whether scores of this shape, (n, ., .), are (n, symbols, steps)."""
    return not alphabets.fits(symbols, shape[2]) and alphabets.fits(symbols, shape[1])


def _codes(texts: Sequence[str]) -> NDArray[np.int32]:
    """int32, (n, longest): code points, 0 behind the end."""
    longest = max(map(len, texts), default=0)
    found = np.zeros((len(texts), longest), np.int32)
    for row, text in enumerate(texts):
        found[row, : len(text)] = [ord(letter) for letter in text]
    return found


def _texts(values: Mapping[str, NDArray[Any]]) -> list[str]:
    return ["".join(chr(code) for code in row if code) for row in values[_TEXTS].tolist()]


def _distance() -> Callable[..., int]:
    """Levenshtein's distance of two texts, or of two lists of words.

    Raises:
        MeasureError: rapidfuzz is not installed.
    """
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError:
        raise MeasureError("task: ctc_text needs rapidfuzz, not installed here: pip install 'edgepipe[text]'") from None
    distance: Callable[..., int] = Levenshtein.distance
    return distance


def _errors(found: Sequence[str], wanted: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(edits of letters, edits of words), (n,) each."""
    if len(found) != len(wanted):
        raise MeasureError(f"{len(found)} texts cannot be held against {len(wanted)} labels")
    distance = _distance()
    letters = [distance(one, other) for one, other in zip(found, wanted, strict=True)]
    words = [distance(one.split(), other.split()) for one, other in zip(found, wanted, strict=True)]
    return np.array(letters, np.float64), np.array(words, np.float64)


def _lengths(texts: Sequence[str]) -> NDArray[np.float64]:
    return np.array([len(text) for text in texts], np.float64)


def _words(texts: Sequence[str]) -> NDArray[np.float64]:
    return np.array([len(text.split()) for text in texts], np.float64)


def _rate(errors: NDArray[np.float64], sizes: NDArray[np.float64]) -> Figure:
    """Errors of all examples over their sizes, with its interval over draws of examples; nothing of empty texts."""
    total = float(sizes.sum())
    if not total:
        return Figure(None)

    def figure(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        drawn = weights @ sizes
        return np.where(drawn > 0, (weights @ errors) / np.maximum(drawn, 1), np.nan)

    return Figure(float(errors.sum()) / total, interval(figure, len(errors)))
