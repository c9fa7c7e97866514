"""Regression and embeddings: how far the values of a model are from the labels, or from the float model's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Interval
from edgepipe.errors import MeasureError
from edgepipe.tasks.intervals import Z95

_ALIKE = 0.01
"""Spread of the labels, as a share of their size, below which an R2 under zero says nothing of the model."""


@dataclass(frozen=True)
class Values:
    """A model's values for the evaluation split, in its order.

    Attributes:
        values: float32, (n, k).
        labels: float32, (n, k), or None when the data has none.
        neighbours: by which share of their spread values hang on the other examples of a batch; 0: they do not.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.float32] | None
    neighbours: float = 0.0

    def __len__(self) -> int:
        return len(self.values)

    def save(self, path: Path) -> None:
        """Write an `.npz` file under exactly this name."""
        arrays: dict[str, Any] = {"values": self.values}
        if self.neighbours:
            arrays["neighbours"] = np.float64(self.neighbours)
        if self.labels is not None:
            arrays["labels"] = self.labels
        with path.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)


def values_of(output: NDArray[Any], count: int, artifact: str) -> NDArray[np.float32]:
    """The first output as float32, (count, k).

    Raises:
        MeasureError: it has another length, or values that are NaN or infinite.
    """
    if output.ndim < 1 or len(output) < count:
        raise MeasureError(f"{artifact}: its first output has shape {tuple(output.shape)} for {count} examples")
    found = output[:count].reshape(count, -1).astype(np.float32)
    if not np.isfinite(found).all():
        raise MeasureError(f"{artifact}: NaN or infinite values on the evaluation examples: the step lost the model")
    return found


def _truth(values: Values, baseline: Values | None, artifact: str) -> NDArray[np.float32]:
    truth = values.labels if values.labels is not None else (baseline or values).values
    if truth.shape != values.values.shape:
        raise MeasureError(
            f"{artifact}: gives {values.values.shape[1]} values for an example, compared with {truth.shape[1]}: "
            "labels are (examples,) or (examples, values). Float labels mean a regression: save classes as int64"
        )
    return truth


def regression(values: Values, baseline: Values | None, artifact: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(measurements, comparison): MAE and R2 against the labels, without labels against the baseline's values.

    MAE is in the unit of the labels, averaged over the values of an example; R2 is 1 - residual sum of squares /
    total sum of squares, over all values, None where the labels hardly vary. The rise of the MAE has the paired 95%
    interval of the mean difference.
    """
    truth = _truth(values, baseline, artifact)
    errors = np.abs(values.values - truth).mean(axis=1, dtype=np.float64)
    residual = float(((values.values - truth).astype(np.float64) ** 2).sum())
    total = float(((truth - truth.mean(axis=0)).astype(np.float64) ** 2).sum())
    r2: float | None = 1 - residual / total if total > 0 else (1.0 if residual == 0 else None)
    size = float((truth.astype(np.float64) ** 2).sum())
    if r2 is not None and r2 < 0 and total < _ALIKE**2 * size:
        r2 = None  # against labels that are nearly alike any error is many times their variance
    measured = {"mae": float(errors.mean()), "mae_ci95": mean_interval(errors), "r2": r2}
    if baseline is None:
        return measured, {"mae_rise": 0.0, "mae_rise_ci95": (0.0, 0.0)}
    before = np.abs(baseline.values - truth).mean(axis=1, dtype=np.float64)
    return measured, {"mae_rise": float((errors - before).mean()), "mae_rise_ci95": mean_interval(errors - before)}


def embedding(values: Values, baseline: Values | None, artifact: str) -> dict[str, Any]:
    """Cosine to the float model's vector of the same example: mean with 95% interval, and the lowest percentile."""
    other = values if baseline is None else baseline
    if other.values.shape != values.values.shape:
        raise MeasureError(
            f"{artifact}: its vectors have {values.values.shape[1]} values, the float model's {other.values.shape[1]}"
        )
    a, b = values.values.astype(np.float64), other.values.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = np.clip((a * b).sum(axis=1) / np.maximum(norms, 1e-30), -1, 1)
    return {
        "cosine": float(cosines.mean()),
        "cosine_ci95": mean_interval(cosines),
        "cosine_p01": float(np.quantile(cosines, 0.01)),
    }


def mean_interval(values: NDArray[np.float64]) -> Interval:
    """95% interval of a mean by its standard error."""
    half = Z95 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    middle = float(values.mean())
    return middle - half, middle + half
