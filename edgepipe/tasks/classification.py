"""One class for each example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Answers, Figure, Measure, Signature, Targets, Task, Tensor
from edgepipe.errors import DataError, MeasureError, ModelError
from edgepipe.tasks.intervals import newcombe, wilson
from edgepipe.tasks.values import are_shares

_FEW = 10
"""Examples that may well be of one class."""
_MOST_CLASSES = 1 << 24
_GIVEN = "from_baseline"
"""Marks targets that are the baseline's answers."""


class Classification(Task):
    """One class for each example: the best-scored of a vector of scores, or a class that the model itself answers."""

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "top1",
            "top-1",
            "higher",
            "share of examples answered rightly; without labels, as the baseline answers",
            unit="share",
            change="accuracy_drop",
            change_title="top-1 drop",
        ),
        Measure(
            "top5",
            "top-5",
            "higher",
            "share of examples whose label is among the five best-scored",
            unit="share",
            column=False,
        ),
    )
    trains: ClassVar[bool] = True
    one_class: ClassVar[bool] = True
    covers: ClassVar[bool] = True
    page: ClassVar[str] = "edgepipe.tasks/pages/classification.mjs"

    def misfit(self, outputs: Sequence[Tensor]) -> str | None:
        first = outputs[0]
        shape = [axis for axis in first.shape if axis != 1] if len(first.shape) > 1 else list(first.shape)
        if first.dtype.startswith(("int", "uint")) and not shape:
            return None  # scikit-learn classifiers answer the class itself
        if first.dtype.startswith("float") and (len(shape) == 1 and shape != [1]):
            return None
        return f"its first output is {first.dtype} {list(first.shape)} for each example, no vector of scores"

    def targets(self, raw: NDArray[Any], signature: Signature) -> Targets:
        labels = np.asarray(raw)
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            raise DataError(
                f"task: classification needs integer labels, one for each example, and these are {labels.dtype} of "
                f"shape {labels.shape}. Set task=regression for numbers, task=multilabel for rows of 0 and 1"
            )
        return {"labels": labels.astype(np.int64)}

    def answers(self, outputs: Mapping[str, NDArray[Any]], signature: Signature, what: str) -> Answers:
        """`answers`: int64, (n,), the best-scored class; `top5`: int64, (n, k), best first, ties to the lower class."""
        output = np.asarray(next(iter(outputs.values())))
        if output.ndim == 1 and output.dtype.kind == "i":
            return {"answers": output.astype(np.int64), "top5": output[:, None].astype(np.int64)}
        while output.ndim > 2 and output.shape[-1] == 1:
            output = output[..., 0]
        if output.ndim != 2:
            raise MeasureError(
                f"{what}: its first output has shape {tuple(output.shape)} for {len(output)} examples; expected one "
                "score per class, (examples, classes). Set task=agreement, regression or embedding for other models"
            )
        if output.shape[1] == 1 and output.dtype.kind == "f":
            raise ModelError(
                f"{what}: gives one score for each example, and a classifier gives one for each class. Where it is the "
                "probability p of class 1 (a sigmoid), end the model in the two scores 1 - p and p; where it is a "
                "number, set task=regression"
            )
        scores = output.astype(np.float32)
        if np.isnan(scores).any() or np.isposinf(scores).any():
            found = "NaN" if np.isnan(scores).any() else "infinite"
            raise MeasureError(
                f"{what}: {found} scores on the evaluation examples; the step that wrote it lost the model "
                "(often a value beyond float16, or a scale of zero)"
            )
        ranked = np.argsort(-scores, axis=1, kind="stable")[:, :5].astype(np.int64)
        return {"answers": ranked[:, 0].copy(), "top5": ranked}

    def check_labels(self, outputs: Mapping[str, NDArray[Any]], targets: Targets, what: str) -> None:
        """Labels that count from 1, or another model's, would silently score as wrong."""
        output = np.asarray(next(iter(outputs.values())))
        if output.dtype.kind != "f" or output.ndim < 2 or not len(targets["labels"]):
            return
        largest = int(targets["labels"].max())
        if largest >= output.shape[1]:
            raise DataError(
                f"the evaluation data has a label {largest}, but {what} scores {output.shape[1]} classes, 0 to "
                f"{output.shape[1] - 1}. Labels count from 0: correct them, or choose a model with as many classes"
            )

    def for_page(self, outputs: Mapping[str, NDArray[Any]], signature: Signature) -> dict[str, Any]:
        """`probabilities`: whether the outputs are shares of the classes already."""
        return {"probabilities": are_shares(np.asarray(next(iter(outputs.values()))))}

    def possible(self, answers: Answers, count: int) -> bool:
        return (
            {"answers", "top5"} == answers.keys()
            and answers["answers"].shape == (count,)
            and answers["top5"].ndim == 2
            and len(answers["top5"]) == count
            and all(
                values.dtype.kind in "iu"
                and (not values.size or -1 <= int(values.min()) <= int(values.max()) <= _MOST_CLASSES)
                for values in answers.values()
            )
        )

    def kept(self, wanted: NDArray[Any], got: NDArray[Any]) -> float:
        """Share of the examples whose largest value is that of the same class."""
        return float((wanted.argmax(axis=1) == got.argmax(axis=1)).mean())

    def targets_of(self, baseline: Answers) -> Targets | None:
        return {"labels": baseline["answers"], _GIVEN: np.ones(1, np.bool_)}

    def measured(self, answers: Answers, targets: Targets) -> dict[str, Figure]:
        right = answers["answers"] == targets["labels"]
        n, found = len(right), int(right.sum())
        top5 = None
        if _GIVEN not in targets and answers["top5"].shape[1] >= 5:
            top5 = int((answers["top5"] == targets["labels"][:, None]).any(axis=1).sum())
        return {
            "top1": Figure(found / n, wilson(found, n)),
            "top5": Figure(None) if top5 is None else Figure(top5 / n, wilson(top5, n)),
        }

    def compared(self, answers: Answers, baseline: Answers, targets: Targets) -> dict[str, Figure]:
        """The examples are the same, so the interval is far narrower than that of two separate samples."""
        same_length(answers["answers"], baseline["answers"])
        right = answers["answers"] == targets["labels"]
        n = len(right)
        if _GIVEN in targets:  # the baseline is right, every other answer a loss
            low, high = wilson(int(right.sum()), n)
            return {"top1": Figure(1 - float(right.mean()), (1 - high, 1 - low)), "top5": Figure(None)}
        drop = _paired(right, baseline["answers"] == targets["labels"])
        top5 = Figure(None)
        if min(answers["top5"].shape[1], baseline["top5"].shape[1]) >= 5:
            within = [(each["top5"] == targets["labels"][:, None]).any(axis=1) for each in (answers, baseline)]
            top5 = _paired(within[0], within[1])
        return {"top1": drop, "top5": top5}

    def alike(self, answers: Answers, baseline: Answers) -> NDArray[np.bool_]:
        same_length(answers["answers"], baseline["answers"])
        return np.asarray(answers["answers"] == baseline["answers"])

    def lost(self, answers: Answers, baseline: Answers, targets: Targets) -> NDArray[np.int64]:
        if _GIVEN in targets:
            return np.empty(0, np.int64)
        labels = targets["labels"]
        return np.flatnonzero((answers["answers"] != labels) & (baseline["answers"] == labels))

    def say(self, values: Mapping[str, NDArray[Any]], index: int, signature: Signature) -> str:
        number = int(values["labels" if "labels" in values else "answers"][index])
        return signature.classes[number] if 0 <= number < len(signature.classes) else str(number)

    def notes(
        self, answers: Answers, baseline: Answers | None, targets: Targets | None, signature: Signature
    ) -> list[str]:
        found = [_unknown_classes(answers, targets, signature.classes) if baseline is None else None]
        found.append(_one_class(answers, baseline, targets, signature.classes))
        return [text for text in found if text is not None]

    def loss(self, outputs: Any, targets: Any) -> Any:
        """Cross-entropy of float logits, (n, classes), with int64 labels, (n,)."""
        from torch.nn import functional

        return functional.cross_entropy(outputs, targets)


def _paired(right: NDArray[np.bool_], before: NDArray[np.bool_]) -> Figure:
    n = len(right)
    both, lost, won = int((right & before).sum()), int((~right & before).sum()), int((right & ~before).sum())
    neither = n - both - lost - won
    return Figure((lost - won) / n, newcombe(both, lost, won, neither))


def same_length(one: NDArray[Any], other: NDArray[Any]) -> None:
    """Refuse to compare answers to different examples.

    Raises:
        MeasureError: they are not as many.
    """
    if len(one) != len(other):
        raise MeasureError(f"predictions on {len(one)} and {len(other)} examples cannot be compared")


def _unknown_classes(answers: Answers, targets: Targets | None, classes: Sequence[str]) -> str | None:
    """What to say where answers name classes that the data does not have: another model's numbering scores as wrong."""
    if not classes or targets is None or _GIVEN in targets:
        return None
    share = float(np.mean(answers["answers"] >= len(classes)))
    if share == 0:
        return None
    return (
        f"{share:.0%} of the answers name a class beyond the {len(classes)} of the data, and count as wrong: the model "
        "was trained on other classes. Use the data it was trained for, or a model of these: of model=torchvision with "
        "model.num_classes and a step that trains, else made anew where it came from"
    )


def _one_class(
    answers: Answers, baseline: Answers | None, targets: Targets | None, classes: Sequence[str]
) -> str | None:
    """What to say where all examples are given one answer, while labels or the baseline tell them apart."""
    found = np.unique(answers["answers"])
    labels = None if targets is None or _GIVEN in targets else targets["labels"]
    known = [other for other in (labels, baseline["answers"] if baseline else None) if other is not None]
    count = len(answers["answers"])
    if count < _FEW or len(found) > 1 or any(len(np.unique(other)) == 1 for other in known):
        return None
    number = int(found[0])
    name = classes[number] if 0 <= number < len(classes) else str(number)
    return f"all {count} examples are answered with one class, {name!r}: the model tells nothing apart. " + (
        "Check that its input has the range, the layout and the order of channels that it was made for"
        if baseline is None
        else "The baseline does: this step lost the model"
    )
