"""The range of each activation by the error that it causes: not in the tensor, but in what the next layers compute.

Every candidate range is tried on the float model at once: its quantization error e = Q(x) - x is sent through the
layers that read x, which are linear, and only the squared length of what comes out leaves the runtime.

Source: the layer-wise output error of Nagel et al., A White Paper on Neural Network Quantization, 2021,
arXiv:2106.08295, section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgepipe.contract import Dataset, Progress, Split
from edgepipe.onnx.batch_axis import resized
from edgepipe.quant.arithmetic.affine import activation_parameters
from edgepipe.quant.calibrate.observers import UNLIMITED, Observer, ObserverName, Typical, at_least
from edgepipe.quant.calibrate.run import open_probe
from edgepipe.quant.place.placement import Placement, Wiring

CANDIDATES: tuple[ObserverName, ...] = ("min_max", "mse", "relative_mse", "percentile", "entropy")
Range = tuple[float, float]


def choose_ranges(
    model: onnx.ModelProto,
    placement: Placement,
    observers: Mapping[str, Observer],
    data: Dataset,
    *,
    percentile: float,
    examples: int,
    batch_size: int,
    progress: Progress,
) -> tuple[dict[str, Range], dict[str, str]]:
    """The best range of each observed tensor, and the name of the observer that proposed it.

    Args:
        examples: calibration examples to try them on; the first ones.
    """
    options: dict[str, dict[str, Range]] = {
        name: {kind: observer.range(kind, percentile, placement.limits.get(name, UNLIMITED)) for kind in CANDIDATES}
        for name, observer in observers.items()
    }
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    costs = _add_costs(probe, placement, options)
    del probe.graph.output[:]
    probe.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for names in costs.values() for name in names
    )
    run, fixed = open_probe(probe, next(data.batches(Split.CALIBRATION, 1, [0])).inputs)
    found: dict[str, list[list[NDArray[np.float64]]]] = {
        name: [[] for _ in range(len(names) // (len(CANDIDATES) + 1))] for name, names in costs.items()
    }
    size = fixed or min(batch_size, examples)
    count = min(examples, data.count(Split.CALIBRATION))
    for number, batch in enumerate(data.batches(Split.CALIBRATION, size, range(count))):
        values = iter(run(batch.inputs if fixed is None else resized(batch.inputs, fixed)))
        for name in costs:
            for reader in found[name]:
                reader.append(np.stack([np.asarray(next(values)).reshape(-1) for _ in range(len(CANDIDATES) + 1)]))
        progress(min(1.0, (number + 1) * size / max(1, count)), "choosing ranges")
    totals = {name: np.sum([_relative(reader) for reader in readers], axis=0) for name, readers in found.items()}
    chosen: dict[str, str] = {name: CANDIDATES[int(np.argmin(total))] for name, total in totals.items()}
    return {name: options[name][kind] for name, kind in chosen.items()}, chosen


def _relative(batches: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Of one reader, (candidates,): readers of one tensor count alike, and so do examples.

    Each error is a share of what the reader computes from the float. One odd picture may have a thousand times the
    energy of any other.
    """
    energy, *errors = np.concatenate(batches, axis=1).astype(np.float64)
    typical = Typical()
    typical.add(energy)
    share: NDArray[np.float64] = (np.stack(errors) / at_least(energy, typical.energy)).mean(axis=1)
    return share


def _add_costs(
    probe: onnx.ModelProto, placement: Placement, options: Mapping[str, Mapping[str, Range]]
) -> dict[str, list[str]]:
    """Per tensor names of (examples,): for each reader the energy of the float, then of each candidate's error."""
    wiring = Wiring(probe)
    opset = next(item.version for item in probe.opset_import if item.domain in ("", "ai.onnx"))
    added: list[onnx.NodeProto] = []
    costs: dict[str, list[str]] = {}

    def constant(name: str, value: object) -> str:
        probe.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def energy(tensor: str, reader: onnx.NodeProto | None, tag: str) -> str:
        if reader is not None:
            linear = onnx.NodeProto()
            linear.CopyFrom(reader)
            del linear.input[:]
            linear.input.extend([tensor, reader.input[1]])  # no bias: it is no part of an error
            del linear.output[:]
            linear.output.append(f"{tag}_through")
            linear.name = f"{tag}_through"
            added.append(linear)
            tensor = f"{tag}_through"
        rows, cost = f"{tag}_rows", f"{tag}_cost"
        added.append(helper.make_node("Flatten", [tensor], [rows], rows, axis=1))
        summed = helper.make_node("ReduceSumSquare", [rows], [cost], cost, keepdims=0)
        if opset < 18:
            summed.attribute.append(helper.make_attribute("axes", [1]))
        else:
            summed.input.append(constant(f"{tag}_axes", np.array([1], np.int64)))
        added.append(summed)
        return cost

    for number, (name, ranges) in enumerate(options.items()):
        readers: Sequence[onnx.NodeProto | None] = [
            node
            for node in wiring.consumers[name]
            if node.name in placement.nodes and node.op_type in ("Conv", "Gemm", "MatMul") and node.input[0] == name
        ] or [None]
        errors = []
        for kind in CANDIDATES:
            scale, zero = activation_parameters(*ranges[kind])
            tag = f"edgepipe_{number}_{kind}"
            pair = [constant(f"{tag}_scale", np.float32(scale)), constant(f"{tag}_zero", np.uint8(zero))]
            added.append(helper.make_node("QuantizeLinear", [name, *pair], [f"{tag}_q"], f"{tag}_q"))
            added.append(helper.make_node("DequantizeLinear", [f"{tag}_q", *pair], [f"{tag}_dq"], f"{tag}_dq"))
            added.append(helper.make_node("Sub", [f"{tag}_dq", name], [f"{tag}_error"], f"{tag}_error"))
            errors.append(f"{tag}_error")
        costs[name] = [
            energy(tensor, reader, f"edgepipe_{number}_{at}_{index}")
            for at, reader in enumerate(readers)
            for index, tensor in enumerate([name, *errors])
        ]
    probe.graph.node.extend(added)
    return costs
