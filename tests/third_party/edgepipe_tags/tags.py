"""A task: any number of tags for each example."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgepipe.contract import Answers, Figure, Measure, Signature, Targets, Task, Tensor
from edgepipe.errors import DataError, MeasureError


class Tags(Task):
    """Any number of tags for each example: one probability a tag, labels as rows of 0 and 1."""

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("macro_f1", "macro F1", "higher", "F1, mean of the tags", unit="share"),
        Measure("mean_ap", "mean AP", "higher", "average precision, mean of the tags", unit="share"),
    )

    threshold: float = Field(0.5, gt=0, lt=1, description="probability from which an example has a tag")

    def misfit(self, outputs: Sequence[Tensor]) -> str | None:
        first = outputs[0]
        if first.dtype == "float32" and len(first.shape) == 1:
            return None
        return f"its first output is {first.dtype} {list(first.shape)} for each example, no probability of each tag"

    def targets(self, raw: NDArray[Any], signature: Signature) -> Targets:
        if raw.ndim != 2 or raw.dtype.kind not in "iub" or not np.isin(raw, (0, 1)).all():
            raise DataError(f"task: tags needs rows of 0 and 1 as labels, and these are {raw.dtype} {raw.shape}")
        return {"tags": raw.astype(np.bool_)}

    def answers(self, outputs: Mapping[str, NDArray[Any]], signature: Signature, what: str) -> Answers:
        found = np.asarray(next(iter(outputs.values())))
        if found.ndim != 2 or found.dtype.kind != "f" or not np.isfinite(found).all():
            raise MeasureError(f"{what}: its first output is no probability of each tag")
        return {"probabilities": found.astype(np.float32)}

    def measured(self, answers: Answers, targets: Targets) -> dict[str, Figure]:
        return self._figures(answers["probabilities"], targets["tags"], lambda values: values)

    def compared(self, answers: Answers, baseline: Answers, targets: Targets) -> dict[str, Figure]:
        both = np.stack([answers["probabilities"], baseline["probabilities"]], axis=1)
        return self._figures(both, targets["tags"], lambda values: values[1] - values[0])

    def alike(self, answers: Answers, baseline: Answers) -> NDArray[np.bool_]:
        has, had = (each["probabilities"] >= self.threshold for each in (answers, baseline))
        return np.asarray((has == had).all(axis=1))

    def _figures(self, values: NDArray[Any], truth: NDArray[np.bool_], take: Callable[..., Any]) -> dict[str, Figure]:
        """Each measure of `values`, (n, tags) or (n, 2, tags), with a bootstrap's interval over the examples."""
        found = {}
        draws = np.random.default_rng(0).integers(0, len(truth), (200, len(truth)))
        for measure, score in zip(self.measures, (self._f1, _average_precision), strict=True):
            value = float(take(score(values, truth)))
            spread = np.nanquantile([take(score(values[rows], truth[rows])) for rows in draws], (0.025, 0.975))
            found[measure.name] = Figure(value, (min(float(spread[0]), value), max(float(spread[1]), value)))
        return found

    def _f1(self, values: NDArray[Any], truth: NDArray[np.bool_]) -> Any:
        has, truth = values >= self.threshold, _beside(values, truth)
        hits = (has & truth).sum(axis=0)
        return (2 * hits / np.maximum(has.sum(axis=0) + truth.sum(axis=0), 1)).mean(axis=-1)


def _average_precision(values: NDArray[Any], truth: NDArray[np.bool_]) -> Any:
    """Mean over an example's tag of the precision at its rank."""
    order = np.argsort(-values, axis=0, kind="stable")
    hits = np.take_along_axis(np.broadcast_to(_beside(values, truth), values.shape), order, axis=0)
    ranks = np.arange(1, len(values) + 1).reshape(-1, *[1] * (values.ndim - 1))
    precision = (np.cumsum(hits, axis=0) / ranks * hits).sum(axis=0)
    return (precision / np.maximum(hits.sum(axis=0), 1)).mean(axis=-1)


def _beside(values: NDArray[Any], truth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return truth if values.ndim == 2 else truth[:, None]
