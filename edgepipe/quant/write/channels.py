"""Channels of one int8 tensor that are far apart, whatever made them so, and layers that live on the small ones.

A tensor has one scale. Channels that span a few steps of it are mostly rounding error, which a layer that adds channels
up does not see unless its weights are largest there. `apart` knows parts by the node that joins or cuts them; here the
span of each channel is measured, so that a Where, a Max, a sum of padded parts or one layer's own weights are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgepipe.contract import Dataset, Progress, Split
from edgepipe.onnx.names import fresh, tensor_names
from edgepipe.quant.arithmetic.affine import activation_parameters
from edgepipe.quant.calibrate.run import stream
from edgepipe.quant.place.placement import Placement, Wiring, attribute
from edgepipe.quant.place.worth import shapes_of
from edgepipe.quant.write.apart import Range, moved, squared
from edgepipe.quant.write.qdq import WEIGHTED

Place = tuple[str, int]
"""A tensor, and the axis of its channels."""
Spans = Mapping[Place, NDArray[np.float64]]
RUINED = ((4.0, 0.5), (2.0, 0.2))
"""(steps, share): where so large a share of a layer's results has fewer steps, its input stays float. 4 steps are an
error of 34 to 66%, 2 of 66% and more. Fewer than `LEAST_STEPS` on purpose: BatchNorm leaves channels uneven everywhere.
With scales drawn from exp(N(0, 1)), torchvision's networks have shares of 0.25 and 0.1 at most."""
_KEPT = ("Relu", "Clip", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")
"""Operators through which channels keep apart, and in order."""
_BENT = ("HardSwish", "Elu", "Selu", "Gelu", "Mish", "Tanh", "Softsign")
"""Curves that leave small values about as large as they were, and large ones not."""
_MOVED = ("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity")


@dataclass(frozen=True)
class Reading:
    """An int8 layer, and a quantized tensor whose channels it adds up.

    Attributes:
        axis: of the channels: 1, or -1.
        gains: what is done to each channel before it comes to the layer, squared, (channels,) or a number.
        behind: a tensor between them, without whose channels far apart this one's are no reason: a curve bends them.
    """

    layer: onnx.NodeProto
    tensor: str
    axis: int
    gains: NDArray[np.float64]
    behind: str | None = None

    @property
    def place(self) -> Place:
        """What has to be measured for it."""
        return self.tensor, self.axis


@dataclass(frozen=True)
class FarChannels:
    """A layer most of whose results live on channels with few steps.

    Attributes:
        node: what made the channels; None: they are the network's input.
        count: channels with few steps, of `channels`.
        span: the median of what these cover.
        barred: tensors that must not be quantized, so that the channels keep their values.
    """

    node: onnx.NodeProto | None
    tensor: str
    layer: onnx.NodeProto
    count: int
    channels: int
    span: float
    whole: float
    barred: frozenset[str]

    @property
    def key(self) -> str:
        """What is said once of it."""
        return self.tensor

    def said(self, stays: bool) -> str:
        """For people."""
        steps = 255 * self.span / self.whole
        return (
            (f"the {self.node.op_type} '{self.node.name}'" if self.node is not None else f"the input '{self.tensor}'")
            + f" has channels far apart: {self.count} of {self.channels} span {self.span:.3g} in the median, the whole "
            + f"{self.whole:.3g}, so that they have {'less than one step' if steps < 1 else f'{steps:.0f} steps'} of "
            + f"255 in one int8 scale, and the {self.layer.op_type} '{self.layer.name}' weighs these most"
            + (
                "; this region stays float. far_apart=int8 quantizes it all the same"
                if stays
                else ", so that it computes mostly rounding error. far_apart=float keeps this region float"
            )
        )


def readings(model: onnx.ModelProto, placement: Placement) -> list[Reading]:
    """Which quantized tensors the int8 layers of a placement add up, directly or channel by channel before that."""
    wiring, quantized = Wiring(model), set(placement.tensors)
    return [
        item
        for node in model.graph.node
        if node.name in placement.nodes and node.op_type in WEIGHTED
        for item in _readings(node, wiring)
        if item.tensor in quantized
    ]


def channel_spans(
    model: onnx.ModelProto,
    places: Iterable[Place],
    data: Dataset,
    *,
    batch_size: int,
    progress: Progress,
) -> dict[Place, NDArray[np.float64]]:
    """What each channel covers, zero included, (channels,), on a twentieth of the calibration examples."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    ends = _with_ends(probe, places)
    most: dict[str, NDArray[np.float64]] = {}

    def take(name: str, values: NDArray[np.float32]) -> None:
        (_, axis), sign = ends[name]
        reach = np.moveaxis(sign * values.astype(np.float64), axis, -1).reshape(-1, values.shape[axis]).max(axis=0)
        most[name] = np.maximum(most.get(name, 0.0), reach)

    examples = max(16, data.count(Split.CALIBRATION) // 20)
    stream(probe, list(ends), data, take, batch_size=batch_size, examples=examples, progress=progress)
    spans: dict[Place, NDArray[np.float64]] = {}
    for name, (place, _) in ends.items():
        spans[place] = spans.get(place, 0.0) + most[name]
    return spans


def far_channels(
    model: onnx.ModelProto,
    placement: Placement,
    found: Sequence[Reading],
    spans: Spans,
    ranges: Mapping[str, Range] | None = None,
) -> list[FarChannels]:
    """The layers so many of whose results have so few steps that they are `RUINED`.

    Args:
        ranges: (low, high) of the quantized tensors; None: what their channels cover.
    """
    wiring = Wiring(model)
    far: dict[str, FarChannels] = {}
    for item in found:
        span = spans[item.place]
        root = _root(item.tensor, placement)
        step = float(span.max() / 255 if ranges is None else activation_parameters(*ranges[root])[0])
        if (
            item.tensor in far
            or not (item.behind is None or item.behind in far)
            or not (span < RUINED[0][0] * step).any()
        ):
            continue
        steps = next((few for few, share in RUINED if lost_share(item, wiring, span, step, few) >= share), None)
        if steps is None:
            continue
        small = span[(span > 0) & (span < steps * step)]
        far[item.tensor] = FarChannels(
            node=_maker(root, wiring),
            tensor=item.tensor,
            layer=item.layer,
            count=len(small),
            channels=len(span),
            span=float(np.median(small)),
            whole=255 * step,
            barred=frozenset({item.tensor, *moved(root, wiring)}),
        )
    return list(far.values())


def lost_share(reading: Reading, wiring: Wiring, span: NDArray[np.float64], step: float, steps: float) -> float:
    """The share of a layer's results that have fewer than so many steps.

    What a result sees is the mean square of its channels' spans, weighed as it weighs them. What rounding puts into a
    channel is a step, and never more than the channel holds. Where nothing is added up, results count by their energy:
    channels that are as good as dead are no loss.
    """
    if not _fit(reading.gains, span):
        return 0.0
    seen, rounded = np.square(span), np.square(steps * np.minimum(span, step))
    own = _gains(reading.layer, wiring)
    if own is not None:
        if len(own) != len(span):
            return 0.0
        energy = own * reading.gains * seen
        return float(energy[seen < rounded].sum() / max(energy.sum(), 1e-300))
    weight = wiring.array(reading.layer.input[1])
    rows = None if weight is None else squared(reading.layer, weight)
    if rows is None or rows.shape[1] != len(span):
        return 0.0
    held, lost = rows @ (reading.gains * seen), rows @ (reading.gains * rounded)
    return float((held < lost).sum() / max(1, (held > 0).sum()))


def _readings(layer: onnx.NodeProto, wiring: Wiring) -> Iterator[Reading]:
    name, axis, gains = layer.input[0], 1 if layer.op_type == "Conv" else -1, np.ones(1)
    behind = None
    while True:
        yield Reading(layer, name, axis, gains, behind)
        maker = wiring.producer.get(name)
        if maker is None:
            return
        if maker.op_type in ("Flatten", "Reshape", "Squeeze"):  # only behind a mean over each channel are they in order
            before = wiring.producer.get(maker.input[0])
            if before is None or before.op_type != "GlobalAveragePool":
                return
            axis = 1
        elif (own := _gains(maker, wiring)) is not None and _fit(gains, own):
            gains = gains * own
        elif maker.op_type == "Mul":
            found = _scaled(maker, axis, wiring)
            if found is None or not _fit(gains, found[1]):
                return
            behind = behind or (name if found[2] else None)
            name, gains = found[0], gains * found[1]
            continue
        elif maker.op_type in _BENT:
            behind = behind or name
        elif maker.op_type not in _KEPT:
            return
        name = maker.input[0]


def _fit(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return one.shape == other.shape or 1 in (one.size, other.size)


def _scaled(node: onnx.NodeProto, axis: int, wiring: Wiring) -> tuple[str, NDArray[np.float64], bool] | None:
    """What a Mul scales channel by channel, with what, squared, and whether that is a gate of itself, no constant."""
    for name, other in (node.input, node.input[::-1]):
        vector = wiring.array(other)
        if vector is not None and vector.size == max(vector.shape, default=1):
            along = vector.shape[-1:] == (vector.size,) if axis == -1 else vector.shape[-1:] in ((), (1,))
            return (name, np.square(vector.astype(np.float64)).reshape(-1), False) if along else None
        gate = wiring.producer.get(other)
        if gate is not None and gate.op_type in ("Sigmoid", "HardSigmoid") and gate.input[0] == name:
            return name, np.ones(1), True
    return None


def _gains(node: onnx.NodeProto, wiring: Wiring) -> NDArray[np.float64] | None:
    """What a depthwise convolution weighs each channel with, squared; None for any other node."""
    weight = wiring.array(node.input[1]) if node.op_type == "Conv" else None
    if weight is None or weight.shape[1] != 1 or weight.shape[0] != int(attribute(node, "group", 1)):
        return None
    gains: NDArray[np.float64] = np.square(weight.astype(np.float64)).reshape(len(weight), -1).sum(axis=1)
    return gains


def _with_ends(probe: onnx.ModelProto, places: Iterable[Place]) -> dict[str, tuple[Place, int]]:
    """Append nodes that reduce tensors to the extremes of their channels; each result's name, and its sign."""
    shapes = shapes_of(probe)
    taken = tensor_names(probe.graph)
    opset = next(item.version for item in probe.opset_import if item.domain in ("", "ai.onnx"))
    ends: dict[str, tuple[Place, int]] = {}

    def named(wanted: str) -> str:
        taken.add(name := fresh(wanted, taken))
        return name

    for tensor, axis in dict.fromkeys(places):
        rank = len(shapes.get(tensor, ()))
        # What lies between the first axis and the channels, or behind them; all is handed out where that is not known.
        axes = [item for item in range(1, rank) if item != axis % rank] if rank else []
        for operator, sign in (("ReduceMax", 1), ("ReduceMin", -1)):
            name = named(f"{tensor}_{operator}")
            node = helper.make_node(operator if axes else "Identity", [tensor], [name], name)
            if axes and opset < 18:
                node.attribute.append(helper.make_attribute("axes", axes))
            elif axes:
                node.input.append(named(f"{name}_axes"))
                probe.graph.initializer.append(numpy_helper.from_array(np.array(axes, np.int64), node.input[1]))
            probe.graph.node.append(node)
            ends[name] = (tensor, axis), sign
    return ends


def _root(tensor: str, placement: Placement) -> str:
    """The tensor whose scale it has."""
    while tensor in placement.same_as:
        tensor = placement.same_as[tensor]
    return tensor


def _maker(tensor: str, wiring: Wiring) -> onnx.NodeProto | None:
    """What made the values of a tensor, moves and functions of single values not counted."""
    maker = wiring.producer.get(tensor)
    while maker is not None and maker.op_type in (*_KEPT, *_MOVED) and maker.input[0] in wiring.producer:
        maker = wiring.producer[maker.input[0]]
    return maker
