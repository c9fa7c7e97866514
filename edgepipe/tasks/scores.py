"""One score that says yes or no: of an example, or of each of its frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgepipe.contract import Answers, Figure, Measure, Signature, Targets, Task, Tensor
from edgepipe.errors import DataError, MeasureError
from edgepipe.tasks.bootstrap import interval
from edgepipe.tasks.ranking import Weights, area, precision, ranked

_SCORES, _LABELS = "scores", "labels"
_NEAR = 0.05
"""How far a score may be off and still be nearly the same, of a probability; of others, a share of their spread."""
_FRAMES = 0.95
"""Share of an example's frames that must be alike."""
_FELL = 0.05
"""Share of an example's frames that are wrong now and were right, from which the report shows it."""
_CHANCE = 0.6
_AT_ONCE = 1 << 22
_SLACK = 1e-3


class Scores(Task):
    """A score for each example, or for each of its frames: voice activity, wake words, anomalies.

    Labels are 1, 0, and -1 for what is not judged, (examples,) or (examples, frames). Intervals draw whole examples,
    for the frames of one hang together.
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "roc_auc", "ROC AUC", "higher", "how often a positive is scored above a negative, of 0 to 1", worse_by=0.005
        ),
        Measure("average_precision", "AP", "higher", "average precision over all thresholds, of 0 to 1"),
        Measure("f1", "F1", "higher", "harmonic mean of precision and recall at the threshold", unit="share"),
    )
    covers: ClassVar[bool] = True
    page: ClassVar[str] = "edgepipe.tasks/pages/scores.mjs"

    threshold: float | None = Field(
        None,
        description="score from which it is a yes; null: 0.5 where all of them lie in [0, 1], else 0, the logit of a "
        "half. None is fitted to the evaluation examples, which would flatter F1",
    )
    column: int | None = Field(None, description="of several scores at once the one to take: 1, of no and yes")
    pool: Literal["none", "max", "mean"] = Field(
        "none", description="one score of an example's frames, where labels are of whole examples"
    )
    positive: str | None = Field(None, description="class whose examples are the positives; null: labels are 0 and 1")

    def misfit(self, outputs: Sequence[Tensor]) -> str | None:
        first = outputs[0]
        axes = [axis for axis in first.shape if axis != 1]
        if first.dtype.startswith("float") and len(axes) <= 1 + (self.column is not None):
            return None
        return f"its first output is {first.dtype} {list(first.shape)} for each example, no score, or one of each frame"

    def targets(self, raw: NDArray[Any], signature: Signature) -> Targets:
        """`labels`: int8, (n, frames): 1, 0, or -1 where nothing is judged."""
        labels = np.asarray(raw)
        if labels.dtype.kind not in "iub":
            raise DataError(
                f"task: scores needs labels of 0 and 1, and -1 where nothing is judged; these are {labels.dtype} of "
                f"shape {labels.shape}"
            )
        found = labels.reshape(len(labels), -1).astype(np.int64)
        if self.positive is not None:
            if self.positive not in signature.classes:
                there = ", ".join(signature.classes[:8]) or "none"
                raise DataError(f"task.positive={self.positive}: the data has no such class, only {there}")
            found = np.where(found < 0, found, found == signature.classes.index(self.positive))
        if not np.isin(found, (-1, 0, 1)).all():
            raise DataError(
                f"task: scores needs labels of 0 and 1, and these go from {found.min()} to {found.max()}: where they "
                "are classes, say which is the positive one with task.positive=NAME"
            )
        if not ((found == 0).any() and (found == 1).any()):
            only = {int(value) for value in np.unique(found)} - {-1}
            raise DataError(
                f"task: scores needs positives and negatives, and the labels are all {only or 'left out'}: add others"
            )
        return {_LABELS: found.astype(np.int8)}

    def answers(self, outputs: Mapping[str, NDArray[Any]], signature: Signature, what: str) -> Answers:
        """`scores`: float32, (n, frames)."""
        output = np.asarray(next(iter(outputs.values())))
        if output.ndim < 1 or output.dtype.kind != "f":
            raise MeasureError(f"{what}: its first output is {output.dtype} {tuple(output.shape)}: scores are wanted")
        if self.column is not None:
            wide = output.ndim > 1 and -output.shape[-1] <= self.column < output.shape[-1]
            if not wide:
                raise MeasureError(f"{what}: its first output, {tuple(output.shape)}, has no task.column={self.column}")
            output = output[..., self.column]
        found = output.reshape(len(output), -1).astype(np.float32)
        if not np.isfinite(found).all():
            raise MeasureError(f"{what}: NaN or infinite scores on the evaluation examples: the step lost the model")
        if self.pool != "none":
            found = (found.max if self.pool == "max" else found.mean)(axis=1, keepdims=True)
        return {_SCORES: found}

    def for_page(self, outputs: Mapping[str, NDArray[Any]], signature: Signature) -> dict[str, Any]:
        """`cut`: the score from which it is a yes; `probable`: whether scores are probabilities."""
        found = self.answers(outputs, signature, "the model")
        settings = {"column": self.column, "pool": self.pool, "probable": self._probable(found)}
        return {**settings, "cut": self._cut(found)}

    def check_labels(self, outputs: Mapping[str, NDArray[Any]], targets: Targets, what: str) -> None:
        self._fitting(self.answers(outputs, Signature(inputs=()), what), targets, rows=False)

    def _fitting(self, answers: Answers, targets: Targets, *, rows: bool = True) -> NDArray[np.int8]:
        scores, labels = answers[_SCORES], targets[_LABELS]
        if scores.shape[1] != labels.shape[1]:
            raise DataError(
                f"the model gives {scores.shape[1]} scores for an example, and the labels {labels.shape[1]}: one for "
                "each frame is wanted. task.pool makes one of an example's frames, task.column takes one of several"
            )
        if rows and len(scores) != len(labels):
            raise MeasureError(f"scores of {len(scores)} examples cannot be held against labels of {len(labels)}")
        return labels

    def targets_of(self, baseline: Answers) -> Targets | None:
        yes = baseline[_SCORES] >= self._cut(baseline)
        return {_LABELS: yes.astype(np.int8)}

    def _probable(self, answers: Answers) -> bool:
        scores = answers[_SCORES]
        return bool(scores.size) and -_SLACK <= float(scores.min()) <= float(scores.max()) <= 1 + _SLACK

    def _cut(self, baseline: Answers) -> float:
        if self.threshold is not None:
            return self.threshold
        return 0.5 if self._probable(baseline) else 0.0

    def measured(self, answers: Answers, targets: Targets) -> dict[str, Figure]:
        labels = self._fitting(answers, targets)
        figures = self._figures(answers, self._cut(answers), labels)
        return {name: _figure(figure, len(labels)) for name, figure in figures.items()}

    def compared(self, answers: Answers, baseline: Answers, targets: Targets) -> dict[str, Figure]:
        """On the same draws of examples."""
        labels = self._fitting(answers, targets)
        now = self._figures(answers, self._cut(answers), labels)
        then = self._figures(baseline, self._cut(baseline), self._fitting(baseline, targets))

        def difference(name: str) -> Callable[[Weights], Weights]:
            return lambda weights: then[name](weights) - now[name](weights)

        return {name: _figure(difference(name), len(labels)) for name in now}

    def _figures(
        self, answers: Answers, cut: float, labels: NDArray[np.int8]
    ) -> dict[str, Callable[[Weights], Weights]]:
        """Each of weights of the examples, (draws, n), to (draws,)."""
        example, frame = np.nonzero(labels >= 0)
        scores, truth = answers[_SCORES][example, frame], labels[example, frame] == 1
        yes = scores >= cut
        said, there, hit = (np.bincount(example, each, minlength=len(labels)) for each in (yes, truth, yes & truth))

        def of_ranking(figure: Any) -> Callable[[Weights], Weights]:
            step = max(1, _AT_ONCE // max(1, len(scores)))
            return lambda weights: np.concatenate(
                [
                    ranked(scores, truth, weights[start : start + step][:, example], figure)
                    for start in range(0, len(weights), step)
                ]
            )

        return {
            "roc_auc": of_ranking(area),
            "average_precision": of_ranking(precision),
            "f1": lambda weights: 2 * (weights @ hit) / np.maximum(weights @ (said + there), 1e-12),
        }

    def alike(self, answers: Answers, baseline: Answers) -> NDArray[np.bool_]:
        """Where 95% of the frames are on the same side of the threshold, at nearly the same score."""
        cut, now, then = self._cut(baseline), answers[_SCORES], baseline[_SCORES]
        spread = 1.0 if self._probable(baseline) else float(np.ptp(np.quantile(then, (0.01, 0.99))))
        same = ((now >= cut) == (then >= cut)) & (np.abs(now - then) <= _NEAR * spread + 1e-9)
        return np.asarray(same.mean(axis=1) >= _FRAMES)

    def lost(self, answers: Answers, baseline: Answers, targets: Targets) -> NDArray[np.int64]:
        labels, cut = targets[_LABELS], self._cut(baseline)
        judged = np.maximum((labels >= 0).sum(axis=1), 1)
        now, then = (((each[_SCORES] >= cut) == (labels == 1)) & (labels >= 0) for each in (answers, baseline))
        return np.flatnonzero((then & ~now).sum(axis=1) - (now & ~then).sum(axis=1) > _FELL * judged)

    def say(self, values: Mapping[str, NDArray[Any]], index: int, signature: Signature) -> str:
        if _LABELS in values:
            row = values[_LABELS][index]
            if len(row) > 1:
                return f"yes in {int((row == 1).sum())} of {int((row >= 0).sum())} frames"
            return {1: "yes", 0: "no"}.get(int(row[0]), "not judged")
        row = values[_SCORES][index]
        if len(row) == 1:
            return f"{float(row[0]):.4g}"
        return f"{float(row.mean()):.3g} on average, {float(row.min()):.3g} to {float(row.max()):.3g}"

    def notes(
        self, answers: Answers, baseline: Answers | None, targets: Targets | None, signature: Signature
    ) -> list[str]:
        if baseline is not None or targets is None:
            return []
        area_now = self.measured(answers, targets)["roc_auc"].value
        if area_now is None or area_now >= _CHANCE:
            return []
        return [
            f"the model as it came ranks hardly better than chance (ROC AUC {area_now:.3f}): it is likely fed wrongly "
            "(sample rate, length of a frame, features), or the score that is judged is another one (task.column, and "
            "which label is the positive one)"
        ]


def _figure(figure: Callable[[Weights], Weights], n: int) -> Figure:
    value = float(figure(np.ones((1, n)))[0])
    return Figure(value, interval(figure, n)) if np.isfinite(value) else Figure(None)
