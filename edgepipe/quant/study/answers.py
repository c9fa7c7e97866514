"""Answers of changed models on the same examples, and how far they are from the float model's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from edgepipe.base.files import reserve
from edgepipe.base.scratch import scratch
from edgepipe.contract import Dataset, Split
from edgepipe.onnx.alike import alike
from edgepipe.onnx.batch_axis import batch_axis, neighbours, one_each
from edgepipe.quant.calibrate.run import open_probe

Floats = NDArray[np.float32]
_BATCH = 32


@dataclass(frozen=True)
class Examples:
    """Examples of a split, decoded once into a file, so that memory stays flat; float32, (n, *input_shape).

    `labels`: int64, (n,), of a classification; None where there are none.
    """

    rows: Floats
    labels: NDArray[np.int64] | None
    classifies: bool


@contextmanager
def examples_of(data: Dataset, split: Split, most: int) -> Iterator[Examples]:
    """At most `most` examples of a split, spread evenly over it: folders come sorted by class."""
    count = data.count(split)
    chosen = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()
    labels = data.labels(split)
    classifies = data.signature.task == "classification"
    known = labels is not None and classifies
    with scratch("examples") as folder:
        shape = (len(chosen), *data.signature.input_shape)
        rows = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float32, shape)
        reserve(folder / "rows.npy", (folder / "rows.npy").stat().st_size)
        start = 0
        for batch in data.batches(split, _BATCH, chosen):
            rows[start : start + len(batch.only)] = batch.only
            start += len(batch.only)
        yield Examples(rows, np.asarray(labels)[chosen].astype(np.int64) if known else None, classifies)
        del rows  # Windows cannot remove a file that is still mapped


def answers(model: onnx.ModelProto, rows: Floats) -> Floats:
    """First output on every row, (n, values); Q/DQ computed as written, so alike on every processor."""
    run, fixed = open_probe(model)
    return collect(lambda inputs: run(inputs)[0], rows, fixed)


def batch_of(model: onnx.ModelProto, data: Dataset, batch_size: int) -> int:
    """`batch_size`; 1 where what an example is answered hangs on its neighbours, of which a device has none."""
    run, fixed = open_probe(model)
    count = min(4, data.count(Split.CALIBRATION))
    if fixed is not None or batch_size == 1 or not count:
        return batch_size
    few = next(data.batches(Split.CALIBRATION, count, range(count))).only
    return 1 if neighbours(lambda rows: run(rows)[0], few) else batch_size


def collect(run: Callable[[Floats], Floats], rows: Floats, fixed: int | None = None) -> Floats:
    """What `run` gives for every row, (n, values), in batches of the size that a model has fixed."""
    size = fixed or _BATCH
    if fixed is None and batch_axis(run, np.asarray(rows[:4]), None) != 0:
        return one_each(run, rows).reshape(len(rows), -1).astype(np.float32, copy=False)
    found = []
    for start in range(0, len(rows), size):
        part = np.asarray(rows[start : start + size])
        fed = part if fixed is None or len(part) == fixed else np.resize(part, (fixed, *part.shape[1:]))
        found.append(np.asarray(run(fed), np.float32).reshape(len(fed), -1)[: len(part)])
    return np.concatenate(found)


@dataclass(frozen=True)
class Effect:
    """Energy of the float answers and of the error; shares in [0, 1]."""

    energy: float
    error: float
    agreement: float | None
    top1: float | None

    @property
    def sqnr_db(self) -> float | None:
        """Signal to quantization noise of the outputs, in decibels; None without any error."""
        return 10 * float(np.log10(max(self.energy, 1e-30) / self.error)) if self.error > 0 else None


def effect(got: Floats, wanted: Floats, examples: Examples) -> Effect:
    """How far answers are from the float model's, both (n, values)."""
    signal, noise = wanted.astype(np.float64), got.astype(np.float64) - wanted
    agreement = top1 = None
    if examples.classifies and wanted.shape[1] > 1:
        agreement = alike(wanted, got).agreement
        top1 = None if examples.labels is None else float((got.argmax(axis=1) == examples.labels).mean())
    return Effect(float(np.square(signal).sum()), float(np.square(noise).sum()), agreement, top1)
