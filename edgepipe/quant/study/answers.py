"""Answers of changed models on the same examples, and how far they are from the float model's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgepipe.base.files import reserve
from edgepipe.base.scratch import scratch
from edgepipe.contract import Dataset, Signature, Split, Targets, Task
from edgepipe.errors import MeasureError, ModelError
from edgepipe.onnx.batch_axis import (
    Rows,
    all_answered,
    all_neighbours,
    batch_axes,
    batch_axis,
    count_of,
    cut,
    one_each,
)
from edgepipe.onnx.session import Given, Session
from edgepipe.onnx.session_options import as_written
from edgepipe.onnx.tensor_types import Tensor

Floats = NDArray[np.float32]
_BATCH = 32


@dataclass(frozen=True)
class Examples:
    """Examples of a split, decoded once into files, so that memory stays flat.

    `rows`: float32, (n, *input_shape), of one input; of several by name, (n, ...) each in its own type. Where axes have
    names, all are of the shape of the first.
    `targets`: what is right, as `task` has it; None where there are no labels, or nobody asks.
    """

    rows: Given
    signature: Signature
    task: Task | None = None
    targets: Targets | None = None

    def __len__(self) -> int:
        return count_of(self.rows) if isinstance(self.rows, Mapping) else len(self.rows)


@contextmanager
def examples_of(data: Dataset, split: Split, most: int, task: Task | None = None) -> Iterator[Examples]:
    """At most `most` examples of a split, spread evenly over it: folders come sorted by class.

    Args:
        task: says what the answers mean; None: nobody asks how well they are right.
    """
    count = data.count(split)
    chosen = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()
    labels = data.labels(split) if task is not None and task.labelled else None
    inputs = data.signature.inputs
    if not all(item.fixed for item in inputs):
        shapes = [[value.shape[1:] for value in batch.inputs.values()] for batch in data.batches(split, 1, chosen)]
        chosen = [row for row, shape in zip(chosen, shapes, strict=True) if shape == shapes[0]]
    with scratch("examples") as folder:
        files: dict[str, NDArray[Any]] = {}
        start = 0
        for batch in data.batches(split, _BATCH, chosen):
            for number, (name, value) in enumerate(batch.inputs.items()):
                if name not in files:
                    kind, shape = (np.float32 if len(inputs) == 1 else value.dtype), (len(chosen), *value.shape[1:])
                    place = folder / f"rows{number}.npy"
                    files[name] = np.lib.format.open_memmap(place, "w+", kind, shape)
                    reserve(place, place.stat().st_size)
                files[name][start : start + len(batch)] = value
            start += len(batch)
        rows: Given = files if len(files) > 1 else next(iter(files.values()))
        targets = None
        if task is not None and labels is not None:
            targets = task.targets(np.asarray(labels)[chosen], data.signature)
        yield Examples(rows, data.signature, task, targets)
        files.clear()
        del rows  # Windows cannot remove a file that is still mapped


def answers(model: onnx.ModelProto, rows: Given) -> Floats:
    """What every row is answered, (n, values); Q/DQ computed as written, so alike on every processor.

    Of several outputs those of floats, side by side.
    """
    session = Session(model.SerializeToString(), as_written())
    names, given = float_outputs(session.outputs), session.rows(rows)
    fixed = session.places(cut(given, 0, 1)).fixed
    if len(names) == len(given) == 1:
        return collect(lambda some: session.ask(some, names)[names[0]], next(iter(given.values())), fixed)

    def ask(some: Rows) -> dict[str, NDArray[Any]]:
        return session.ask(some, names)

    axes: Mapping[str, int] | None = batch_axes(ask, cut(given, 0, 4), fixed)
    if fixed in (None, 1) and len(axes or ()) < len(names):
        axes = None
    found = all_answered(ask, given, fixed, axes, _BATCH)
    return np.concatenate([value.reshape(len(value), -1).astype(np.float32) for value in found.values()], axis=1)


def float_outputs(outputs: Sequence[Tensor]) -> list[str]:
    """Names of those whose errors have a size: of floats; where there are none, the first."""
    found = [item.name for item in outputs if item.dtype is not None and item.dtype.kind == "f"]
    return found or [outputs[0].name]


def batch_of(model: onnx.ModelProto, data: Dataset, batch_size: int) -> int:
    """`batch_size`; 1 where what an example is answered hangs on its neighbours, of which a device has none."""
    count = min(4, data.count(Split.CALIBRATION))
    if batch_size == 1 or not count:
        return batch_size
    few = next(data.batches(Split.CALIBRATION, count, range(count))).inputs
    session = Session(model.SerializeToString(), as_written())
    if session.places(few).fixed is not None:
        return batch_size
    return 1 if all_neighbours(session.ask, session.rows(few)) else batch_size


def collect(run: Callable[[Floats], NDArray[Any]], rows: Floats, fixed: int | None = None) -> Floats:
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
    """Energy of the float answers and of the error; what the task says of the answers.

    `alike`: share answered as the float model answers. `quality`: by measure, empty where nobody says what is right.
    """

    energy: float
    error: float
    alike: float | None = None
    quality: dict[str, float] = field(default_factory=dict)

    @property
    def sqnr_db(self) -> float | None:
        """Signal to quantization noise of the outputs, in decibels; None without any error."""
        return 10 * float(np.log10(max(self.energy, 1e-30) / self.error)) if self.error > 0 else None


def effect(got: Floats, wanted: Floats, examples: Examples) -> Effect:
    """How far answers are from the float model's, both (n, values)."""
    signal, noise = wanted.astype(np.float64), got.astype(np.float64) - wanted
    found = Effect(float(np.square(signal).sum()), float(np.square(noise).sum()))
    task, signature = examples.task, examples.signature
    if task is None:
        return found
    try:
        here, before = (task.answers({"output": values}, signature, "it") for values in (got, wanted))
        targets = examples.targets if task.labelled else task.targets_of(before)
        measured = {} if targets is None else task.measured(here, targets)
        same = float(task.alike(here, before).mean())
    except (MeasureError, ModelError):  # outputs that a layer made NaN, or that are none of the task: no figures
        return found
    quality = {name: figure.value for name, figure in measured.items() if figure.value is not None}
    return replace(found, alike=same, quality=quality)
