"""Runs the float model on calibration examples and shows chosen tensors to their observers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from edgepipe.contract import Dataset, Progress, Split
from edgepipe.errors import EdgepipeError, MeasureError, PassError
from edgepipe.onnx.batch_axis import Rows, count_of, resized
from edgepipe.onnx.inputs import inputs_of
from edgepipe.onnx.session import Given, Session, by_name
from edgepipe.onnx.session_options import as_written
from edgepipe.quant.calibrate.observers import COUNTED, NotFiniteError, Observer
from edgepipe.quant.calibrate.summaries import Summaries
from edgepipe.targets.host import available_cores

_Given = TypeVar("_Given")
Values = list[NDArray[np.float32]]
Run = Callable[[Rows], Values]
_Runs = Iterator[tuple[Rows, Values]]
"""Examples by input, (n, ...) each, and the tensors of their run."""
_VALUES = 2**26
"""Values that all runs together hand out at most, on any number of cores: all tensors of a batch are held at once."""
_SEEN = 2**23
"""Values that observers are shown at once, at most; a call for each picture would cost more than what it counts."""
_ENOUGH = 8
"""Examples that are enough for a call; batches as large as that are shown one by one, and none waits for others."""
_WORKERS = 4
"""Batches that are run side by side, at most: the memory of each is needed."""


def stream(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    data: Dataset,
    take: Callable[[str, NDArray[np.float32]], None],
    *,
    batch_size: int,
    examples: int | None = None,
    progress: Progress,
) -> None:
    """Run the float model over the calibration examples and hand each tensor of each batch to `take`.

    Args:
        batch_size: examples of a run, at most.
        examples: only so many, spread evenly over all: a listing may be in the order of classes; None: all.
    """
    inputs = {item.name for item in model.graph.input}
    wanted = [name for name in tensors if name not in inputs]
    first = _first(model, data, 1)
    run, fixed = _open(model, wanted, first)
    total = min(examples or data.count(Split.CALIBRATION), data.count(Split.CALIBRATION))
    if fixed is None and batch_size > 1:
        batch_size = _fitting(batch_size, _size(first) + sum(value.size for value in run(first)))
    for rows, found in side_by_side(run, _batches(model, data, total, batch_size, fixed, progress)):
        values = dict(zip(wanted, found, strict=True))
        for name in tensors:
            take(name, np.asarray(rows[name], np.float32) if name in inputs else np.asarray(values[name]))


def _open(model: onnx.ModelProto, tensors: Sequence[str], rows: Rows) -> tuple[Run, int | None]:
    """What runs a copy whose outputs are these, for `side_by_side`; what nobody asks for need not leave the runtime."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    if not tensors:  # nothing to run but the size of a batch to know
        return lambda _rows: [], open_probe(probe, rows)[1]
    del probe.graph.output[:]
    probe.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in tensors
    )
    return open_probe(probe, rows, workers())


def _fitting(batch_size: int, each: int) -> int:
    """Examples of a run, at most `batch_size`, by the values that one of them needs memory for."""
    return max(1, min(batch_size, _VALUES // _WORKERS // max(1, each)))


def workers() -> int:
    """How many batches are run at once; on more cores than that each is given several of them."""
    return min(_WORKERS, available_cores())


def side_by_side(
    run: Callable[[_Given], Values], batches: Iterator[_Given], ahead: int = 1
) -> Iterator[tuple[_Given, Values]]:
    """Each batch and what `run` makes of it, in their order, while the next ones are run already.

    Two small batches on a core each are done sooner than one after the other on two cores, which wait for each other
    after every operator.

    Args:
        ahead: batches whose results may wait, beside those that are being run.
    """
    count = workers()
    pool = ThreadPoolExecutor(count)
    begun: deque[tuple[_Given, Future[Values]]] = deque()
    try:
        for rows in batches:
            begun.append((rows, pool.submit(run, rows)))
            if len(begun) >= count + ahead:
                yield _taken(begun)  # no name here: results would wait for the next one, and are large
        while begun:
            yield _taken(begun)
    finally:
        pool.shutdown(cancel_futures=True)


def _taken(begun: deque[tuple[_Given, Future[Values]]]) -> tuple[_Given, Values]:
    rows, future = begun.popleft()
    return rows, future.result()


def _together(runs: _Runs, most: int) -> _Runs:
    """Neighbouring batches as one, of no more than so many examples unless one has more.

    Not where a tensor counts its examples along another axis than the first: the last batch is smaller.
    """
    held: list[tuple[Rows, Values]] = []
    for rows, values in runs:
        full = sum(count_of(each) for each, _ in held) + count_of(rows) > most
        if held and (full or not _joinable([*held[0][0].values(), *held[0][1]], [*rows.values(), *values])):
            yield _joined(held)
        held.append((rows, values))
        del values
    if held:
        yield _joined(held)


def _joinable(some: Sequence[NDArray[Any]], others: Sequence[NDArray[Any]]) -> bool:
    return all(a.ndim > 0 and a.shape[1:] == b.shape[1:] for a, b in zip(some, others, strict=True))


def _joined(batches: list[tuple[Rows, Values]]) -> tuple[Rows, Values]:
    """As one; what was held no longer is."""
    if len(batches) == 1:
        return batches.pop()
    rows = {name: np.concatenate([each[name] for each, _ in batches]) for name in batches[0][0]}
    found = [np.concatenate(parts) for parts in zip(*(values for _, values in batches), strict=True)]
    batches.clear()
    return rows, found


def _batches(
    model: onnx.ModelProto, data: Dataset, total: int, batch_size: int, fixed: int | None, progress: Progress
) -> Iterator[Rows]:
    """So many calibration examples, spread evenly, in batches that the model takes, by its inputs."""
    names = [item.name for item in inputs_of(model.graph)]
    seen = 0
    every = data.count(Split.CALIBRATION)
    chosen = range(total) if total == every else [number * every // total for number in range(total)]
    for batch in data.batches(Split.CALIBRATION, fixed or batch_size, chosen):
        rows: Rows = by_name(names, batch.inputs, "the model")
        if fixed is not None and len(batch) < fixed:
            if seen and seen + len(batch) == total:
                break  # the last, smaller batch of a model with a fixed batch
            rows = resized(rows, fixed)
        yield rows
        seen += len(batch)
        progress(seen / max(1, total), f"{seen}/{total}")


def open_probe(model: onnx.ModelProto, rows: Given, at_once: int = 1) -> tuple[Run, int | None]:
    """A function from examples to all outputs, Q/DQ run as written; and the batch where it is fixed.

    Args:
        rows: an example or more, which tell where the inputs count them.
        at_once: calls that will run side by side, between which the cores are divided.
    """
    session = Session(model.SerializeToString(), as_written(at_once))
    return lambda rows: list(session.ask(rows).values()), session.places(rows).fixed


def calibrate(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    data: Dataset,
    *,
    batch_size: int,
    histogram: bool,
    label: str,
    progress: Progress,
) -> dict[str, Observer]:
    """An observer for each tensor, after all calibration examples; memory does not grow with their number.

    Raises:
        PassError: a tensor holds NaN or infinity.
    """
    inputs = {item.name for item in model.graph.input}
    wanted = [name for name in tensors if name not in inputs]
    first = _first(model, data, 1)
    run, fixed = _open(model, wanted, first)
    one = [np.shape(values) for values in run(_first(model, data, fixed or 1))]
    two = [np.shape(values) for values in run(_first(model, data, 2))] if fixed is None and batch_size > 1 else one
    each = _size(first) + sum(int(np.prod(shape)) for shape in one) // (fixed or 1)
    plan = _Plan(
        batch_size=_fitting(batch_size, each), fixed=fixed, histogram=histogram, label=label, progress=progress
    )
    sizes = {
        name: int(np.prod(shape[1:]))
        for name, shape, other in zip(wanted, one, two, strict=True)
        if shape and shape[0] == (fixed or 1) and other == ((2, *shape[1:]) if two is not one else shape)
    }
    free = not all(item.fixed for item in data.signature.inputs)  # then sizes are those of the first example only
    if free or not any(size > COUNTED for size in sizes.values()):
        return _observed(model, tensors, {}, run, each, data, plan)
    del run  # a second copy of the weights
    try:
        return _observed(model, tensors, sizes, None, each, data, plan)
    except EdgepipeError as error:
        if not isinstance(error, MeasureError):  # which is the runtime's
            raise
        return _observed(model, tensors, {}, None, each, data, plan)
    except Exception:
        # A tensor's size depends on the example, and places in it that an earlier one had are not there.
        return _observed(model, tensors, {}, None, each, data, plan)


@dataclass(frozen=True)
class _Plan:
    batch_size: int
    fixed: int | None
    histogram: bool
    label: str
    progress: Progress


def _first(model: onnx.ModelProto, data: Dataset, count: int) -> Rows:
    """So many calibration examples by input, repeated where there are fewer."""
    batch = next(data.batches(Split.CALIBRATION, count, range(min(count, data.count(Split.CALIBRATION)))))
    return resized(by_name([item.name for item in inputs_of(model.graph)], batch.inputs, "the model"), count)


def _size(rows: Rows) -> int:
    """Values in all inputs."""
    return sum(value.size for value in rows.values())


def _observed(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    sizes: Mapping[str, int],
    run: Run | None,
    each: int,
    data: Dataset,
    plan: _Plan,
) -> dict[str, Observer]:
    """The observers.

    Args:
        sizes: values of an example in the tensors that may be summarized.
        run: what hands out the tensors, where none is summarized.
        each: values of an example in all tensors.
    """
    observers = {name: Observer(histogram=plan.histogram) for name in tensors}
    inputs = {item.name for item in model.graph.input}
    wanted = [name for name in tensors if name not in inputs]
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    summaries = Summaries(probe, wanted, sizes)
    if run is None:
        run, _ = _open(probe, summaries.outputs, _first(model, data, 1))
    # A moving average counts calls, which then must not depend on how many examples fit.
    seen = max(1, min(_ENOUGH, _SEEN // max(1, each - summaries.spared))) if plan.histogram else 1
    batches = _batches(model, data, data.count(Split.CALIBRATION), plan.batch_size, plan.fixed, plan.progress)
    runs = side_by_side(run, batches, ahead=-(-seen // (plan.fixed or plan.batch_size)))
    for rows, found in _together(runs, seen):
        values = dict(zip(summaries.outputs, found, strict=True))
        for name in tensors:
            try:
                if name in inputs:
                    observers[name].observe(np.asarray(rows[name], np.float32))
                else:
                    summaries.observe(name, values, observers[name])
            except NotFiniteError:
                raise PassError(
                    f"passes.{plan.label}: the tensor '{name}' holds NaN or infinity on a calibration example. "
                    "The float model is broken there: check its weights and the data's mean and std"
                ) from None
        del rows, found, values  # before the next ones are taken
    return observers
