"""Numbers for each example."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Answers, Figure, Measure, Signature, Targets, Task
from edgepipe.errors import DataError, MeasureError
from edgepipe.tasks.bootstrap import interval
from edgepipe.tasks.values import mean_interval, values_of, variance_kept

_NEARLY_ONE = 0.01
"""Spread of the labels, as a share of their size, below which an R2 under zero says nothing of the model."""
_ALIKE = 0.02
"""Of the spread of the baseline's values: two numbers that differ by less are one answer."""


class Regression(Task):
    """Numbers for each example: the first output, compared with float labels, (n,) or (n, values)."""

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "r2",
            "R2",
            "higher",
            "share of the labels' variance explained; without labels, the baseline's; null: it is near none",
        ),
        Measure(
            "mae",
            "MAE",
            "lower",
            "mean absolute error, in the unit of the labels",
            worse_by=0.02,
            relative=True,
            change_title="MAE rise",
        ),
    )

    trains: ClassVar[bool] = True

    def targets(self, raw: NDArray[Any], signature: Signature) -> Targets:
        labels = np.asarray(raw)
        if labels.dtype.kind not in "fiub":
            raise DataError(f"task: regression needs numbers as labels, and these are {labels.dtype}")
        return {"labels": labels.reshape(len(labels), -1).astype(np.float32)}

    def answers(self, outputs: Mapping[str, NDArray[Any]], signature: Signature, what: str) -> Answers:
        """`values`: float32, (n, k)."""
        return {"values": values_of(outputs, what)}

    def check_labels(self, outputs: Mapping[str, NDArray[Any]], targets: Targets, what: str) -> None:
        given, labelled = values_of(outputs, what).shape[1], targets["labels"].shape[1]
        if given != labelled:
            raise DataError(f"{what} {_unlike(given, labelled)}")

    def kept(self, wanted: NDArray[Any], got: NDArray[Any]) -> float:
        """Share of the variance, as R2."""
        return variance_kept(wanted, got)

    def targets_of(self, baseline: Answers) -> Targets | None:
        return {"labels": baseline["values"]}

    def measured(self, answers: Answers, targets: Targets) -> dict[str, Figure]:
        """MAE is averaged over the values of an example; R2 is 1 - residual sum of squares / total sum of squares."""
        values, truth = answers["values"], _fitting(answers, targets)
        errors = np.abs(values - truth).mean(axis=1, dtype=np.float64)
        residual = float(((values - truth).astype(np.float64) ** 2).sum())
        total = float(((truth - truth.mean(axis=0)).astype(np.float64) ** 2).sum())
        r2: float | None = 1 - residual / total if total > 0 else (1.0 if residual == 0 else None)
        size = float((truth.astype(np.float64) ** 2).sum())
        if r2 is not None and r2 < 0 and total < _NEARLY_ONE**2 * size:
            r2 = None  # against labels that are nearly alike any error is many times their variance
        spread = None if r2 is None else interval(_r2(values, truth), len(truth))
        return {"r2": Figure(r2, spread), "mae": Figure(float(errors.mean()), mean_interval(errors))}

    def compared(self, answers: Answers, baseline: Answers, targets: Targets) -> dict[str, Figure]:
        """The rise of the MAE has the paired 95% interval of the mean difference."""
        truth = _fitting(answers, targets)
        errors, before = (np.abs(each["values"] - truth).mean(axis=1, dtype=np.float64) for each in (answers, baseline))
        now, then = self.measured(answers, targets)["r2"].value, self.measured(baseline, targets)["r2"].value
        lost = Figure(None)
        if now is not None and then is not None:
            kept = _r2(answers["values"], truth), _r2(baseline["values"], truth)
            lost = Figure(then - now, interval(lambda weights: kept[1](weights) - kept[0](weights), len(truth)))
        return {
            "r2": lost,
            "mae": Figure(float((errors - before).mean()), mean_interval(errors - before)),
        }

    def alike(self, answers: Answers, baseline: Answers) -> NDArray[np.bool_]:
        """Within 2% of the spread of the baseline's values over the examples, each of them."""
        spread = baseline["values"].astype(np.float64).std(axis=0)
        far = np.abs(answers["values"].astype(np.float64) - baseline["values"])
        return np.asarray((far <= _ALIKE * spread + 1e-6 * np.abs(baseline["values"])).all(axis=1))

    def notes(
        self, answers: Answers, baseline: Answers | None, targets: Targets | None, signature: Signature
    ) -> list[str]:
        if targets is None or self.measured(answers, targets)["r2"].value is not None:
            return []
        return [
            "no R2 is given: what the answers are compared with is nearly the same for all examples, so that any error "
            "is many times its variance. The mean absolute error says how far they are"
        ]

    def loss(self, outputs: Any, targets: Any) -> Any:
        """Mean squared error of the first output, (n, ...), and the labels, (n,) or (n, values)."""
        from torch.nn import functional

        wanted = targets.reshape(len(targets), -1).float()
        return functional.mse_loss(outputs.reshape(len(outputs), -1), wanted)


def _r2(
    values: NDArray[np.float32], truth: NDArray[np.float32]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """R2 of weighted examples: (draws, n) to (draws,)."""
    wanted = truth.astype(np.float64)
    residuals, squares = ((values - wanted) ** 2).sum(axis=1), (wanted**2).sum(axis=1)

    def figure(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        total = weights @ squares - ((weights @ wanted) ** 2).sum(axis=1) / weights.shape[1]
        return np.asarray(1 - (weights @ residuals) / np.maximum(total, 1e-300))

    return figure


def _fitting(answers: Answers, targets: Targets) -> NDArray[np.float32]:
    truth: NDArray[np.float32] = targets["labels"]
    if truth.shape != answers["values"].shape:
        raise MeasureError(f"the model {_unlike(answers['values'].shape[1], truth.shape[1])}")
    return truth


def _unlike(given: int, labelled: int) -> str:
    return (
        f"gives {given} values for an example, compared with {labelled}: labels are (examples,) or (examples, values). "
        "Where they are classes, save them as int64 and leave task=regression out"
    )
