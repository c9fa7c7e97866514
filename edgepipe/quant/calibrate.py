"""Runs the float model on calibration examples and shows chosen tensors to their observers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edgepipe.contract import DataSource, Progress, Split
from edgepipe.errors import PassError
from edgepipe.models.lower import numpy_type
from edgepipe.quant.observers import Observer
from edgepipe.quant.summaries import Summaries
from edgepipe.targets.machine import available_cores

_VALUES = 2**25
"""Values that a run hands out at most: all tensors of a batch are held at once, and large pictures have many."""


def stream(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    data: DataSource,
    take: Callable[[str, NDArray[np.float32]], None],
    *,
    batch_size: int,
    examples: int | None = None,
    progress: Progress,
) -> None:
    """Run the float model over the calibration examples and hand each tensor of each batch to `take`.

    Args:
        batch_size: examples of a run, at most.
        examples: only so many, the first ones; None: all.
    """
    inputs = {item.name for item in model.graph.input}
    wanted = [name for name in tensors if name not in inputs]
    run, fixed = open_probe(_handing_out(model, wanted))
    total = min(examples or data.count(Split.CALIBRATION), data.count(Split.CALIBRATION))
    if fixed is None and batch_size > 1:
        first = next(iter(data.batches(Split.CALIBRATION, 1, range(1)))).inputs
        batch_size = _fitting(batch_size, first.size + sum(value.size for value in run(first)))
    for rows in _batches(data, total, batch_size, fixed, progress):
        values = dict(zip(wanted, run(rows), strict=True)) if wanted else {}
        for name in tensors:
            take(name, np.asarray(rows if name in inputs else values[name]))


def _handing_out(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """A copy whose outputs these are; what nobody asks for need not leave the runtime."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    if tensors:  # else any output keeps the model whole
        del probe.graph.output[:]
        probe.graph.output.extend(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in tensors
        )
    return probe


def _fitting(batch_size: int, each: int) -> int:
    """Examples of a run, at most `batch_size`, by the values that one of them needs memory for."""
    return max(1, min(batch_size, _VALUES // max(1, each)))


def _batches(
    data: DataSource, total: int, batch_size: int, fixed: int | None, progress: Progress
) -> Iterator[NDArray[np.float32]]:
    """The first `total` calibration examples, in batches that the model takes."""
    seen = 0
    for batch in data.batches(Split.CALIBRATION, fixed or batch_size, range(total)):
        rows = batch.inputs
        if fixed is not None and len(rows) < fixed:
            if seen:
                break  # the last, smaller batch of a model with a fixed batch
            rows = np.resize(rows, (fixed, *rows.shape[1:]))
        yield rows
        seen += len(batch.inputs)
        progress(seen / max(1, total), f"{seen}/{total}")


def open_probe(model: onnx.ModelProto) -> tuple[Callable[[NDArray[np.float32]], list[NDArray[np.float32]]], int | None]:
    """A function from inputs to all outputs, over every core, Q/DQ run as written; and the batch where it is fixed."""
    session = probe_session(model)
    first = session.get_inputs()[0]
    kind = numpy_type(first.type)

    def run(rows: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        values: list[NDArray[np.float32]] = session.run(None, {first.name: rows.astype(kind, copy=False)})
        return values

    return run, first.shape[0] if isinstance(first.shape[0], int) else None


def probe_session(model: onnx.ModelProto) -> Any:
    """A session over every core, Q/DQ run as written."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = available_cores()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def calibrate(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    data: DataSource,
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
    observers = {name: Observer(histogram=histogram) for name in tensors}
    inputs = {item.name for item in model.graph.input}
    wanted = [name for name in tensors if name not in inputs]
    probe = _handing_out(model, wanted)
    run, fixed = open_probe(probe)
    total = data.count(Split.CALIBRATION)
    first = next(_batches(data, 1, 1, fixed, lambda _share, _text: None))
    shapes = {name: value.shape for name, value in zip(wanted, run(first) if wanted else [], strict=True)}
    summaries = Summaries(probe, {name: int(np.prod(shape[1:])) for name, shape in shapes.items()})
    if summaries.outputs != wanted:
        run, fixed = open_probe(_handing_out(probe, summaries.outputs))
    # Counted whole: inside the runtime they need their memory all the same.
    each = first.size + sum(int(np.prod(shape)) for shape in shapes.values())
    batch_size = _fitting(batch_size, each)
    for rows in _batches(data, total, batch_size, fixed, progress):
        values = dict(zip(summaries.outputs, run(rows) if wanted else [], strict=True))
        for name in tensors:
            try:
                if name in inputs:
                    observers[name].observe(rows)
                else:
                    summaries.observe(name, values, observers[name])
            except ValueError:
                raise PassError(
                    f"passes.{label}: the tensor '{name}' holds NaN or infinity on a calibration example. "
                    "The float model is broken there: check its weights and the data's mean and std"
                ) from None
    return observers
