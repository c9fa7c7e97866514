"""Any number of classes for each example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgepipe.contract import Answers, Figure, Measure, Signature, Targets, Task, Tensor
from edgepipe.errors import DataError, MeasureError
from edgepipe.tasks.bootstrap import interval
from edgepipe.tasks.ranking import precision, ranked
from edgepipe.tasks.values import values_of

Weights = NDArray[np.float64]


class Multilabel(Task):
    """Any number of classes for each example: one score a class, labels as rows of 0 and 1.

    Source of both measures: Zhang and Zhou, A Review on Multi-Label Learning Algorithms, TKDE 26 (2014).
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("f1", "macro F1", "higher", "F1 at the threshold, mean of the classes that occur", unit="share"),
        Measure(
            "average_precision", "mAP", "higher", "average precision, mean of the classes that occur", unit="share"
        ),
    )

    trains: ClassVar[bool] = True
    covers: ClassVar[bool] = True
    page: ClassVar[str] = "edgepipe.tasks/pages/multilabel.mjs"

    scores: Literal["auto", "probabilities", "logits"] = Field(
        "auto", description="what the model gives; auto: probabilities where all of the baseline's lie in [0, 1]"
    )
    threshold: float = Field(0.5, gt=0, lt=1, description="probability from which an example has a class")

    def misfit(self, outputs: Sequence[Tensor]) -> str | None:
        first = outputs[0]
        if first.dtype.startswith("float") and len([axis for axis in first.shape if axis != 1]) <= 1:
            return None
        return f"its first output is {first.dtype} {list(first.shape)} for each example, no vector of scores"

    def targets(self, raw: NDArray[Any], signature: Signature) -> Targets:
        """`classes`: bool, (n, classes)."""
        labels = np.asarray(raw)
        numbers = labels.dtype.kind in "fiub"
        if labels.ndim != 2 or not numbers or not np.isin(np.unique(labels), (0, 1)).all():
            values = f" with values from {labels.min()} to {labels.max()}" if numbers and labels.size else ""
            raise DataError(
                "task: multilabel needs labels of 0 and 1, (examples, classes); found "
                f"{labels.dtype} of shape {labels.shape}{values}"
            )
        return {"classes": labels.astype(np.bool_)}

    def answers(self, outputs: Mapping[str, NDArray[Any]], signature: Signature, what: str) -> Answers:
        """`scores`: float32, (n, classes)."""
        return {"scores": values_of(outputs, what)}

    def check_labels(self, outputs: Mapping[str, NDArray[Any]], targets: Targets, what: str) -> None:
        scored, labelled = values_of(outputs, what).shape[1], targets["classes"].shape[1]
        if scored != labelled:
            raise DataError(
                f"{what} scores {scored} classes, the labels have {labelled}: give labels of (examples, classes)"
            )

    def targets_of(self, baseline: Answers) -> Targets | None:
        return {"classes": self._has(baseline, baseline)}

    def for_page(self, outputs: Mapping[str, NDArray[Any]], signature: Signature) -> dict[str, Any]:
        """`cut`: the score of the threshold; `probable`: whether scores are probabilities."""
        found = self.answers(outputs, signature, "the model")
        return {"cut": self._cut(found), "probable": self._probable(found), "threshold": self.threshold}

    def _probable(self, baseline: Answers) -> bool:
        scores = baseline["scores"]
        return self.scores == "probabilities" or (self.scores == "auto" and bool(((scores >= 0) & (scores <= 1)).all()))

    def _cut(self, baseline: Answers) -> float:
        """The score from which an example has a class."""
        return self.threshold if self._probable(baseline) else float(np.log(self.threshold / (1 - self.threshold)))

    def _has(self, answers: Answers, baseline: Answers) -> NDArray[np.bool_]:
        return np.asarray(answers["scores"] >= self._cut(baseline))

    def _fitting(self, answers: Answers, targets: Targets) -> NDArray[np.bool_]:
        truth: NDArray[np.bool_] = targets["classes"]
        if truth.shape != answers["scores"].shape:
            raise MeasureError(
                f"the model scores {answers['scores'].shape[1]} classes, the labels have {truth.shape[1]}: give labels "
                "of (examples, classes)"
            )
        return truth

    def measured(self, answers: Answers, targets: Targets) -> dict[str, Figure]:
        truth = self._fitting(answers, targets)
        found = {}
        for name, figure in self._figures(answers, answers, truth).items():
            found[name] = _figure(figure, len(truth))
        return found

    def compared(self, answers: Answers, baseline: Answers, targets: Targets) -> dict[str, Figure]:
        truth = self._fitting(answers, targets)
        now, then = self._figures(answers, baseline, truth), self._figures(baseline, baseline, truth)

        def difference(name: str) -> Any:
            return lambda weights: then[name](weights) - now[name](weights)

        return {name: _figure(difference(name), len(truth)) for name in now}

    def loss(self, outputs: Any, targets: Any) -> Any:
        """Mean binary cross-entropy of logits, (n, classes), or of probabilities where `scores` says so."""
        from torch.nn import functional

        scores, wanted = outputs.reshape(len(outputs), -1), targets.float()
        if self.scores == "probabilities":
            return functional.binary_cross_entropy(scores, wanted)
        return functional.binary_cross_entropy_with_logits(scores, wanted)

    def _figures(self, answers: Answers, baseline: Answers, truth: NDArray[np.bool_]) -> dict[str, Any]:
        has = self._has(answers, baseline)
        return {
            "f1": lambda weights: _macro_f1(has, truth, weights),
            "average_precision": lambda weights: _mean_precision(answers["scores"], truth, weights),
        }

    def alike(self, answers: Answers, baseline: Answers) -> NDArray[np.bool_]:
        """Where all classes are the same."""
        return np.asarray((self._has(answers, baseline) == self._has(baseline, baseline)).all(axis=1))

    def lost(self, answers: Answers, baseline: Answers, targets: Targets) -> NDArray[np.int64]:
        truth = targets["classes"]
        right, before = ((self._has(each, baseline) == truth).all(axis=1) for each in (answers, baseline))
        return np.flatnonzero(~right & before)

    def say(self, values: Mapping[str, NDArray[Any]], index: int, signature: Signature) -> str:
        row = values["classes"][index] if "classes" in values else self._has(dict(values), dict(values))[index]
        names = [signature.classes[i] if i < len(signature.classes) else str(i) for i in np.flatnonzero(row)]
        return ", ".join(names) or "none"


def _figure(figure: Any, n: int) -> Figure:
    value = float(figure(np.ones((1, n)))[0])
    return Figure(value, interval(figure, n)) if np.isfinite(value) else Figure(None)


def _mean_of_present(values: Weights, present: Weights) -> Weights:
    """(draws,): mean of each row over the classes that occur in that draw; NaN where none does."""
    count = (present > 0).sum(axis=1)
    total = np.where(present > 0, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _macro_f1(has: NDArray[np.bool_], truth: NDArray[np.bool_], weights: Weights) -> Weights:
    hit = weights @ (has & truth).astype(np.float64)
    said, there = weights @ has.astype(np.float64), weights @ truth.astype(np.float64)
    return _mean_of_present(2 * hit / np.maximum(said + there, 1e-12), there)


def _mean_precision(scores: NDArray[np.float32], truth: NDArray[np.bool_], weights: Weights) -> Weights:
    """Sum over the ranked examples of precision times the step in recall; equal scores count as one step."""
    precisions, present = np.zeros((2, len(weights), scores.shape[1]))
    for label in range(scores.shape[1]):
        there = truth[:, label]
        present[:, label] = weights @ there
        precisions[:, label] = ranked(scores[:, label], there, weights, precision)
    return _mean_of_present(precisions, present)
