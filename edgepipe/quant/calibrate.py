"""Runs the float model on calibration examples and shows chosen tensors to their observers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort

from edgepipe.contract import DataSource, Progress, Split
from edgepipe.errors import PassError
from edgepipe.models.lower import numpy_type
from edgepipe.quant.observers import Observer
from edgepipe.targets.machine import available_cores


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
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    inputs = {item.name for item in probe.graph.input}
    known = {item.name for item in probe.graph.output}
    wanted = [name for name in tensors if name not in inputs]
    probe.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in wanted if name not in known)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = available_cores()
    session = ort.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    first = session.get_inputs()[0]
    fixed = first.shape[0] if isinstance(first.shape[0], int) else None
    observers = {name: Observer(histogram=histogram) for name in tensors}
    total = data.count(Split.CALIBRATION)
    seen = 0
    for batch in data.batches(Split.CALIBRATION, fixed or batch_size):
        examples = batch.inputs
        if fixed is not None and len(examples) < fixed:
            if seen:
                break  # the last, smaller batch of a model with a fixed batch
            examples = np.resize(examples, (fixed, *examples.shape[1:]))
        fed = examples.astype(numpy_type(first.type), copy=False)
        values = dict(zip(wanted, session.run(wanted, {first.name: fed}), strict=True)) if wanted else {}
        for name, observer in observers.items():
            try:
                observer.observe(np.asarray(examples if name in inputs else values[name]))
            except ValueError:
                raise PassError(
                    f"passes.{label}: the tensor '{name}' holds NaN or infinity on a calibration example. "
                    "The float model is broken there: check its weights and the data's mean and std"
                ) from None
        seen += len(batch.inputs)
        progress(0.1 + 0.6 * seen / max(1, total), f"calibrating {seen}/{total}")
    return observers
