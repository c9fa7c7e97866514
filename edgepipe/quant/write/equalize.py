"""Cross-layer equalization: channels between two layers are scaled so that one scale fits them all.

Where a convolution feeds another, possibly through a ReLU, dividing output channel i of the first by s_i and
multiplying input channel i of the second by s_i changes nothing in float. In int8 the activation between them has
one scale: a channel far smaller than the largest one gets few of the 256 steps. s_i = sqrt(a_i / w_i) balances the
channel's largest activation a_i with the largest weight w_i that reads it; a depthwise reader has a scale per
channel, which takes up any s_i, so there every channel gets the same range. Where a Concat stands between, the channels
of all its branches are balanced with each other; a branch that is read elsewhere too stays, and the others follow it.

Source: Nagel et al., Data-Free Quantization, ICCV 2019, arXiv:1906.04721, with the activations' range in place of
the first layer's weights, as in Xiao et al., SmoothQuant, ICML 2023, arXiv:2211.10438.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgepipe.contract import Dataset, Progress, Split
from edgepipe.onnx.batch_axis import resized
from edgepipe.quant.calibrate.run import open_probe
from edgepipe.quant.place.placement import Wiring, attribute

_HOMOGENEOUS = ("Relu", "LeakyRelu")
"""f(s x) = s f(x) for s > 0. Not so a clip at 6, which stays unequalized."""
_WIDEST = 64.0
"""Largest factor either way: a channel that is all but dead must not blow up its weights."""


@dataclass(frozen=True)
class _Pair:
    """`makers`: what a layer reads, in the order of its input channels, each with its convolution if that is ours."""

    makers: tuple[tuple[str, onnx.NodeProto | None], ...]
    second: onnx.NodeProto
    between: str
    depthwise: bool


def equalize(model: onnx.ModelProto, data: Dataset, *, examples: int, batch_size: int, progress: Progress) -> list[str]:
    """Rescale the weights of a prepared float model in place; returns the tensors that were equalized."""
    pairs = _pairs(Wiring(model))
    if not pairs:
        return []
    tensors = {name: None for pair in pairs for name in (pair.between, *(made for made, _ in pair.makers))}
    largest = _largest(model, list(tensors), data, examples, batch_size, progress)
    values = {item.name: item for item in model.graph.initializer}
    for pair in pairs:
        second = numpy_helper.to_array(values[pair.second.input[1]])
        activation = largest[pair.between]
        alive = activation > 0
        if not alive.any():
            continue
        if pair.depthwise:
            factors = activation.copy()
        else:
            reading = np.abs(second).max(axis=tuple(axis for axis in range(second.ndim) if axis != 1))
            factors = np.sqrt(activation / np.maximum(reading, 1e-12))
        counts = [len(largest[name]) for name, _ in pair.makers]
        ours = np.repeat([node is not None for _, node in pair.makers], counts)
        # The geometric mean of the living channels stays where it is, or that of those that nobody may scale.
        still = alive & ~ours if (alive & ~ours).any() else alive
        factors[alive] /= np.exp(np.mean(np.log(factors[still])))
        factors[~(alive & ours)] = 1.0
        factors = np.clip(factors, 1 / _WIDEST, _WIDEST).astype(np.float32)
        ends = np.cumsum(counts)
        for (_, node), count, end in zip(pair.makers, counts, ends, strict=True):
            for name in node.input[1:] if node is not None else ():
                if name:
                    _scale(values[name], 1 / factors[end - count : end], 0)
        _scale(values[pair.second.input[1]], factors, 0 if pair.depthwise else 1)
    return [pair.between for pair in pairs]


def _scale(item: onnx.TensorProto, factors: NDArray[np.floating[Any]], axis: int) -> None:
    value = numpy_helper.to_array(item)
    wide = factors.reshape([-1 if place == axis else 1 for place in range(value.ndim)])
    item.CopyFrom(numpy_helper.from_array((value * wide).astype(np.float32), item.name))


def _pairs(wiring: Wiring) -> list[_Pair]:
    """Convolutions that read nothing but what others make for them, with weights that nobody else reads."""
    found = []
    for reader in wiring.graph.node:
        if reader.op_type != "Conv" or not _own_constants(reader, wiring):
            continue
        between = reader.input[0]
        joined = _behind_curve(between, wiring)
        if joined is None:
            continue
        maker = wiring.producer.get(joined)
        if maker is not None and maker.op_type == "Concat" and attribute(maker, "axis", 0) == 1:
            inputs = list(maker.input)
            makers = tuple((name, _own_maker(name, wiring) if inputs.count(name) == 1 else None) for name in inputs)
        else:
            makers = ((between, _own_maker(between, wiring)),)
        if not any(node is not None for _, node in makers):
            continue
        groups = int(attribute(reader, "group", 1))
        weight = wiring.array(reader.input[1])
        assert weight is not None
        depthwise = groups > 1 and weight.shape[:2] == (groups, 1)
        if len(makers) == 1 and depthwise:
            node = makers[0][1]
            channels = None if node is None else wiring.array(node.input[1])
            depthwise = channels is not None and groups == len(channels)
        if groups == 1 or (depthwise and len(makers) == 1):
            found.append(_Pair(makers, reader, between, depthwise))
    return found


def _behind_curve(name: str, wiring: Wiring) -> str | None:
    """The tensor before the ReLU that makes this one, or itself; None where somebody else reads it."""
    if wiring.sole_consumer(name) is None:
        return None
    curve = wiring.producer.get(name)
    if curve is None or curve.op_type not in _HOMOGENEOUS or attribute(curve, "alpha", 0.01) <= 0:
        return name
    return curve.input[0] if wiring.sole_consumer(curve.input[0]) is not None else None


def _own_maker(name: str, wiring: Wiring) -> onnx.NodeProto | None:
    """The convolution whose outputs may be scaled, through a ReLU, or None."""
    made = _behind_curve(name, wiring)
    node = None if made is None else wiring.producer.get(made)
    return node if node is not None and node.op_type == "Conv" and _own_constants(node, wiring) else None


def _own_constants(node: onnx.NodeProto, wiring: Wiring) -> bool:
    names = [name for name in node.input[1:] if name]
    return all(wiring.array(name) is not None and wiring.sole_consumer(name) is not None for name in names)


def _largest(
    model: onnx.ModelProto,
    tensors: list[str],
    data: Dataset,
    examples: int,
    batch_size: int,
    progress: Progress,
) -> dict[str, NDArray[np.float32]]:
    """float32, (channels,) per tensor: the largest magnitude of each channel over calibration examples."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    for tensor in tensors:
        probe.graph.node.append(helper.make_node("Abs", [tensor], [f"{tensor}_magnitude"]))
        # Pooled to nothing but a channel: one number each leaves the runtime, whatever the picture's size.
        probe.graph.node.append(helper.make_node("GlobalMaxPool", [f"{tensor}_magnitude"], [f"{tensor}_largest"]))
        probe.graph.output.append(helper.make_tensor_value_info(f"{tensor}_largest", onnx.TensorProto.FLOAT, None))
    run, fixed = open_probe(probe, next(data.batches(Split.CALIBRATION, 1, [0])).inputs)
    found: dict[str, NDArray[np.float32]] = {}
    count = min(examples, data.count(Split.CALIBRATION))
    for number, batch in enumerate(data.batches(Split.CALIBRATION, fixed or batch_size, range(count))):
        rows = batch.inputs if fixed is None else resized(batch.inputs, fixed)
        for tensor, value in zip(tensors, run(rows), strict=True):
            most = value.reshape(*value.shape[:2], -1).max(axis=(0, 2))
            found[tensor] = np.maximum(found.get(tensor, most), most)
        progress(min(1.0, (number + 1) * (fixed or batch_size) / max(1, count)), "equalizing")
    return found
