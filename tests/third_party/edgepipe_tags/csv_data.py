"""A data source: tables of numbers, a row each example."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgepipe.contract import Batch, Dataset, DataSource, Signature, Split, Tensor
from edgepipe.errors import DataError


class CsvData(DataSource):
    """Tables of numbers with a head: a row each example, its last columns are labels of 0 and 1."""

    train: Path = Field(description="table to calibrate and train with")
    evaluation: Path = Field(description="table to measure with")
    labels: int = Field(1, ge=1, description="how many of the last columns are labels")
    calibration_size: int = Field(100, ge=1, description="rows of train to calibrate with, the first ones")

    def open(self, cache: Path) -> Dataset:
        train, evaluation = (_read(key, getattr(self, key), self.labels) for key in ("train", "evaluation"))
        both = {row.tobytes() for row in train[0]} & {row.tobytes() for row in evaluation[0]}
        if both:
            raise DataError(f"data: {len(both)} rows are in train and in evaluation: remove them from one of them")
        if train[0].shape[1] != evaluation[0].shape[1]:
            raise DataError("data: train and evaluation have columns of another number")
        calibration = tuple(values[: self.calibration_size] for values in train)
        return _Table({Split.TRAIN: train, Split.CALIBRATION: calibration, Split.EVALUATION: evaluation})


def _read(key: str, path: Path, labels: int) -> tuple[NDArray[Any], ...]:
    """Features, float32 (n, features), and labels, int64 (n, labels)."""
    try:
        table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(f"data.{key}: {path}: {error}") from None
    if table.shape[1] <= labels or not len(table):
        raise DataError(f"data.{key}: {path}: {table.shape[1]} columns, of which {labels} are labels: too few")
    return table[:, :-labels].astype(np.float32), table[:, -labels:].astype(np.int64)


class _Table:
    def __init__(self, splits: dict[Split, tuple[NDArray[Any], ...]]) -> None:
        self._splits = splits

    @property
    def signature(self) -> Signature:
        features = self._splits[Split.EVALUATION][0].shape[1]
        return Signature(inputs=(Tensor(name="features", shape=(features,)),))

    def count(self, split: Split) -> int:
        return len(self._splits[split][0])

    def digest(self, split: Split) -> str:
        return hashlib.sha256(b"".join(values.tobytes() for values in self._splits[split])).hexdigest()

    def labels(self, split: Split) -> NDArray[Any]:
        return self._splits[split][1]

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        features, labels = self._splits[split]
        rows = np.arange(len(features)) if indices is None else np.asarray(indices, np.intp)
        for start in range(0, len(rows), batch_size):
            some = rows[start : start + batch_size]
            yield Batch({"features": features[some]}, labels[some])
