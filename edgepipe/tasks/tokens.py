"""A class for every token of a text: tagging, extraction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Answers, Figure, Measure, Signature, Targets, Task, Tensor
from edgepipe.errors import DataError, MeasureError
from edgepipe.tasks.bootstrap import interval
from edgepipe.tasks.entities import entities, is_marked, kinds_of

IGNORED = -100
"""The label of what is not judged: padding, and the later parts of a word."""
_NONE = -1
"""The answer where a text has ended."""
_SHOWN = 12
_Weights = NDArray[np.float64]
_Counts = dict[str, NDArray[np.float64]]
"""By name, (n,): of each example entities found rightly, found, there; tokens right, judged."""


class Tokens(Task):
    """A class for every token: the best-scored one, (n, length, classes).

    Tokens whose label is -100 are not judged. Where names of classes begin with B- or I- (E-, S-, L-, U-), F1,
    precision and recall are of whole entities: one counts where its type, begin and end are right, by the rules of
    seqeval. Otherwise they are of the tokens whose class is not called O. All three count over all examples
    (micro average); intervals draw examples again. Without labels every token is held against the baseline's, padding
    included: give data without padding.

    Two examples are alike where all tags are the same.
    Source: Tjong Kim Sang and Buchholz, Introduction to the CoNLL-2000 Shared Task.
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("f1", "F1", "higher", "harmonic mean of precision and recall of entities, or of tokens", unit="share"),
        Measure("precision", "precision", "higher", "share of what is found that is right", unit="share", column=False),
        Measure(
            "recall", "recall", "higher", "share of what is there that is found rightly", unit="share", column=False
        ),
        Measure(
            "token_accuracy", "tokens right", "higher", "share of the judged tokens of the right class", unit="share"
        ),
    )
    trains: ClassVar[bool] = True
    covers: ClassVar[bool] = True
    program: ClassVar[str] = "edgepipe.tasks.tagged"

    def misfit(self, outputs: Sequence[Tensor]) -> str | None:
        first = outputs[0]
        if first.dtype.startswith("float") and len(first.shape) == 2:
            return None
        return f"its first output is {first.dtype} {list(first.shape)} for each example, no scores (length, classes)"

    def targets(self, raw: NDArray[Any], signature: Signature) -> Targets:
        """`tags`: int64, (n, length); `kinds`: int64, what is known of each class, a row each."""
        labels = np.asarray(raw)
        if labels.dtype.kind not in "iu" or labels.ndim != 2:
            raise DataError(
                f"task: tokens needs a class for each token, whole numbers (examples, length) with {IGNORED} where "
                f"none is judged; these are {labels.dtype} of shape {labels.shape}. data=text gives them with data.tags"
            )
        judged = labels[labels != IGNORED]
        if not judged.size:
            raise DataError(f"task: tokens: all labels are {IGNORED}: there is nothing to judge")
        if int(judged.min()) < 0:
            raise DataError(
                f"task: tokens: a label is {int(judged.min())}: classes count from 0, {IGNORED} is not judged"
            )
        return {"tags": labels.astype(np.int64), "kinds": _kinds(signature.classes)}

    def answers(self, outputs: Mapping[str, NDArray[Any]], signature: Signature, what: str) -> Answers:
        """`tags`: int64, (n, length), the best-scored class of each token."""
        scores = np.asarray(next(iter(outputs.values())))
        if scores.ndim != 3 or scores.dtype.kind != "f":
            raise MeasureError(
                f"{what}: its first output is {scores.dtype} of shape {tuple(scores.shape)}; expected scores, "
                "(examples, length, classes). Set task=classification for one class of a text, else task=agreement"
            )
        if np.isnan(scores).any():
            raise MeasureError(f"{what}: NaN scores on the evaluation examples: the step that wrote it lost the model")
        return {"tags": scores.argmax(axis=2).astype(np.int64)}

    def for_program(self, outputs: Mapping[str, NDArray[Any]], signature: Signature) -> dict[str, Any]:
        """Where the scores are."""
        return {"output": next(iter(outputs))}

    def check_labels(self, outputs: Mapping[str, NDArray[Any]], targets: Targets, what: str) -> None:
        scores = np.asarray(next(iter(outputs.values())))
        largest = int(targets["tags"].max())
        if scores.ndim == 3 and largest >= scores.shape[2]:
            raise DataError(
                f"the evaluation data has a tag {largest}, but {what} scores {scores.shape[2]} classes, 0 to "
                f"{scores.shape[2] - 1}. Correct the labels (data.classes), or choose a model with as many classes"
            )

    def join(self, parts: Sequence[Answers]) -> Answers:
        """Texts of different length are filled up with -1."""
        width = max(part["tags"].shape[1] for part in parts)
        return {"tags": np.concatenate([_wide(part["tags"], width) for part in parts])}

    def possible(self, answers: Answers, count: int) -> bool:
        tags = answers.get("tags")
        return (
            answers.keys() == {"tags"}
            and tags is not None
            and (
                tags.dtype.kind in "iu"
                and tags.ndim == 2
                and len(tags) == count
                and (not tags.size or int(tags.min()) >= _NONE)
            )
        )

    def targets_of(self, baseline: Answers) -> Targets | None:
        tags = baseline["tags"]
        return {"tags": np.where(tags == _NONE, IGNORED, tags), "kinds": _kinds(())}

    def measured(self, answers: Answers, targets: Targets) -> dict[str, Figure]:
        counts = _counts(answers, targets)
        return {name: _figure(of, len(answers["tags"])) for name, of in _figures(counts).items()}

    def compared(self, answers: Answers, baseline: Answers, targets: Targets) -> dict[str, Figure]:
        if len(answers["tags"]) != len(baseline["tags"]):
            raise MeasureError(f"answers to {len(answers['tags'])} and {len(baseline['tags'])} examples are no pairs")
        now, then = (_figures(_counts(each, targets)) for each in (answers, baseline))

        def lost(name: str) -> Callable[[_Weights], _Weights]:
            return lambda weights: then[name](weights) - now[name](weights)

        return {name: _figure(lost(name), len(answers["tags"])) for name in now}

    def alike(self, answers: Answers, baseline: Answers) -> NDArray[np.bool_]:
        width = max(each["tags"].shape[1] for each in (answers, baseline))
        one, other = (_wide(each["tags"], width) for each in (answers, baseline))
        return np.asarray((one == other).all(axis=1))

    def lost(self, answers: Answers, baseline: Answers, targets: Targets) -> NDArray[np.int64]:
        right, before = (_counts(each, targets) for each in (answers, baseline))
        return np.flatnonzero((right["right"] < right["judged"]) & (before["right"] == before["judged"]))

    def say(self, values: Mapping[str, NDArray[Any]], index: int, signature: Signature) -> str:
        tags = [int(tag) for tag in values["tags"][index] if tag >= 0]
        names = [signature.classes[tag] if tag < len(signature.classes) else str(tag) for tag in tags[:_SHOWN]]
        return " ".join(names) + (" …" if len(tags) > _SHOWN else "")

    def loss(self, outputs: Any, targets: Any) -> Any:
        """Cross-entropy of logits, (n, length, classes), with int64 tags, (n, length), those of -100 left out."""
        from torch.nn import functional

        logits = (
            outputs
            if hasattr(outputs, "dim")
            else next(iter(outputs.values() if isinstance(outputs, dict) else outputs))
        )
        return functional.cross_entropy(
            logits.flatten(0, 1), targets[:, : logits.shape[1]].flatten(), ignore_index=IGNORED
        )


def _kinds(classes: Sequence[str]) -> NDArray[np.int64]:
    """What is known of classes: (classes, 2) letters and types of entities, or (classes, 1), 0 of the one called O."""
    if is_marked(classes):
        return kinds_of(classes)
    return np.array([[name != "O"] for name in classes], np.int64).reshape(len(classes), 1)


def _wide(tags: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Cut or filled up to so many tokens."""
    tags = tags[:, :width]
    return np.pad(tags, ((0, 0), (0, width - tags.shape[1])), constant_values=_NONE)


def _counts(answers: Answers, targets: Targets) -> _Counts:
    truth, kinds = targets["tags"], targets["kinds"]
    tags = _wide(answers["tags"], truth.shape[1])
    judged = truth != IGNORED
    right = (tags == truth) & judged
    found = {"right": right.sum(axis=1), "judged": judged.sum(axis=1)}
    if kinds.shape[1] == 2:
        rows = [
            (entities(answer[mask], kinds), entities(true[mask], kinds))
            for answer, true, mask in zip(tags, truth, judged, strict=True)
        ]
        found |= {
            "hit": np.array([len(one & other) for one, other in rows]),
            "said": np.array([len(one) for one, _ in rows]),
            "there": np.array([len(other) for _, other in rows]),
        }
    else:
        said, there = (_counting(each, kinds) & judged for each in (tags, truth))
        found |= {"hit": (right & there).sum(axis=1), "said": said.sum(axis=1), "there": there.sum(axis=1)}
    return {name: values.astype(np.float64) for name, values in found.items()}


def _counting(tags: NDArray[np.int64], kinds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a token is of a class that counts: of any but O."""
    outside = np.flatnonzero(kinds[:, 0] == 0) if len(kinds) else np.empty(0, np.int64)
    return np.asarray(~np.isin(tags, outside) & (tags >= 0))


def _figures(counts: _Counts) -> dict[str, Callable[[_Weights], _Weights]]:
    def share(of: str, among: str, also: str = "") -> Callable[[_Weights], _Weights]:
        def figure(weights: _Weights) -> _Weights:
            total = weights @ counts[among] + (weights @ counts[also] if also else 0)
            any_there = weights @ counts["judged" if among == "judged" else "there"] > 0
            with np.errstate(divide="ignore", invalid="ignore"):
                value = (2 if also else 1) * (weights @ counts[of]) / total
            # Nothing found of what is there: 0, as seqeval has it. Nothing there: no figure.
            return np.where(any_there, np.where(total > 0, value, 0.0), np.nan)

        return figure

    return {
        "f1": share("hit", "said", "there"),
        "precision": share("hit", "said"),
        "recall": share("hit", "there"),
        "token_accuracy": share("right", "judged"),
    }


def _figure(of: Callable[[_Weights], _Weights], n: int) -> Figure:
    value = float(of(np.ones((1, n)))[0])
    return Figure(value, interval(of, n)) if np.isfinite(value) else Figure(None)
