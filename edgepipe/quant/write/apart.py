"""Values that share one scale though others are a hundred times as large, and that are told apart later.

One tensor has one scale. What a Concat joins, or a Slice or Split takes out again, has a span of its own; a part whose
span is a few steps of the common scale is mostly rounding error, however well the whole is quantized.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgepipe.onnx.names import fresh, tensor_names
from edgepipe.quant.arithmetic.affine import activation_parameters
from edgepipe.quant.place.placement import Placement, Wiring, attribute
from edgepipe.quant.place.worth import shapes_of
from edgepipe.quant.write.qdq import WEIGHTED

Range = tuple[float, float]
LEAST_STEPS = 16.0
"""Steps of the common scale that a part's span has at least: 4 bits. Measured on random graphs, a part's rounding error
is 2% of its values at 255 steps, 6 to 15% at 25, 9 to 20% at 16, 16 to 35% at 8 and 34 to 66% at 4."""
_ROOM = ("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "DepthToSpace", "SpaceToDepth")
"""Operators that move all values of a tensor and keep each."""
_POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize")
"""Operators that keep the channels apart."""
_CURVES = (
    *("Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu", "Selu", "Gelu", "Mish"),
    *("Softplus", "Softsign", "Abs", "Neg", "Exp", "Sqrt", "Erf", "Add", "Sub", "Mul", "Div"),
)
"""Functions of each value, or of it and another: what was apart before is apart behind."""
_CUTS = ("Slice", "Split", "Gather")
_JOINED = {"Concat": None, "Pad": (0, 2), "ScatterND": (0, 2), "ScatterElements": (0, 2)}
"""Operators whose result holds values of several tensors, and which inputs those are; None: all."""


@dataclass(frozen=True)
class Part:
    """Values of a quantized tensor that are told apart from its others.

    Attributes:
        tensor: what holds these values alone; in the graph, or made by `probes`.
        shown: what people know it as.
        probes: nodes that make it.
        channels: how many channels of the whole it fills, where it is known.
    """

    tensor: str
    shown: str
    probes: tuple[onnx.NodeProto, ...] = ()
    channels: int | None = None


@dataclass
class Shared:
    """A quantized tensor and the parts that share its scale.

    Attributes:
        node: what joins the parts or cuts them out.
        path: tensors between the join and the quantized one, both included.
        channels: whether the second axis of the tensor is what was joined along.
        last: whether its last axis is.
    """

    tensor: str
    node: onnx.NodeProto
    parts: list[Part]
    path: list[str]
    channels: bool = False
    last: bool = False


@dataclass(frozen=True)
class Apart:
    """A part with too few steps.

    Attributes:
        barred: tensors that must not be quantized, so that the part keeps its values.
    """

    node: onnx.NodeProto
    part: str
    span: float
    whole: float
    steps: float
    barred: frozenset[str]

    @property
    def key(self) -> str:
        """What is said once of it."""
        return self.node.name

    def said(self, stays: bool) -> str:
        """For people."""
        verb = "joins" if self.node.op_type in _JOINED else "takes out"
        steps = "less than one step" if self.steps < 1 else f"{self.steps:.0f} steps"
        return (
            f"the {self.node.op_type} '{self.node.name}' {verb} values far apart: '{self.part}' spans {self.span:.3g}, "
            f"the whole {self.whole:.3g}, so that it has {steps} of 255 in one int8 scale"
            + (
                "; this region stays float. far_apart=int8 quantizes it all the same"
                if stays
                else " and is mostly rounding error. far_apart=float keeps this region float"
            )
        )


def shared_scales(model: onnx.ModelProto, placement: Placement) -> list[Shared]:
    """Where parts of a tensor that has one scale are told apart: joins before it and cuts behind."""
    return list(_Search(model, placement).all())


def far_apart(model: onnx.ModelProto, shares: list[Shared], ranges: Mapping[str, Range]) -> list[Apart]:
    """The worst part of each that has fewer than `LEAST_STEPS` steps of its scale.

    A layer behind a join adds channels up: where each of its results has enough steps all the same, the part is none.

    Args:
        ranges: (low, high) of the shared tensors and of the parts.
    """
    wiring = Wiring(model)
    found = []
    for share in shares:
        step = float(activation_parameters(*ranges[share.tensor])[0])
        spans = {part.tensor: _span(ranges[part.tensor]) for part in share.parts}
        small = [part for part in share.parts if 0 < spans[part.tensor] < LEAST_STEPS * step]
        if not small or _is_added_up(share, spans, step, wiring):
            continue
        worst = min(small, key=lambda part: spans[part.tensor])
        found.append(
            Apart(
                share.node,
                worst.shown,
                spans[worst.tensor],
                255 * step,
                spans[worst.tensor] / step,
                frozenset({*share.path, *moved(share.tensor, wiring)}),
            )
        )
    return found


def with_probes(model: onnx.ModelProto, shares: list[Shared]) -> onnx.ModelProto:
    """A copy that also makes the parts which are no tensors of the graph."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    made: set[str] = set()
    for share in shares:
        for part in share.parts:
            for node in part.probes:
                if node.name not in made:
                    made.add(node.name)
                    probe.graph.node.append(node)
    return probe


def _axis(join: onnx.NodeProto, rank: int) -> int | None:
    """The axis that a Concat joins along, from the front; None where it is not known."""
    axis = int(attribute(join, "axis", 1))
    return axis % rank if join.op_type == "Concat" and rank else None


def _span(found: Range) -> float:
    """What an own scale would cover, zero included."""
    return max(found[1], 0.0) - min(found[0], 0.0)


class _Search:
    def __init__(self, model: onnx.ModelProto, placement: Placement) -> None:
        self.model, self.placement = model, placement
        self.wiring = Wiring(model)
        self.taken = tensor_names(model.graph)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return shapes_of(self.model)

    def all(self) -> Iterator[Shared]:
        for tensor in self.placement.tensors:
            if tensor not in self.placement.same_as:
                yield from self._joined(tensor)
                yield from self._cut(tensor)

    def _joined(self, tensor: str) -> Iterator[Shared]:
        """The join that a tensor's values come from, functions of single values and moves in between."""
        name, path = tensor, [tensor]
        again: list[onnx.NodeProto] = []  # functions between, the last first
        moved = False
        while (maker := self.wiring.producer.get(name)) is not None:
            if maker.op_type in _JOINED:
                parts = [part for read in self._inputs(maker) for part in self._leaves(maker, read, again)]
                if len(parts) > 1:
                    direct = len(again) == len(path) - 1
                    axis = _axis(maker, len(self._sizes(tensor))) if direct else None
                    last = axis is not None and axis == len(self._sizes(tensor)) - 1
                    yield Shared(tensor, maker, parts, path, axis == 1, last)
                return
            if maker.op_type in _ROOM:
                moved = True
            elif maker.op_type in (*_CURVES, *_POOLS, "Slice") and self._is_of_one(maker):
                again.append(maker)
            else:
                return
            if moved and any(node.op_type in (*_POOLS, "Slice") for node in again):
                return
            name = maker.input[0]
            path.append(name)

    def _leaves(self, join: onnx.NodeProto, name: str, again: list[onnx.NodeProto]) -> Iterator[Part]:
        """What one input of a join holds: itself, or what the join that made it holds."""
        source = name
        while (maker := self.wiring.producer.get(source)) is not None and maker.op_type in _ROOM:
            source = maker.input[0]
        if maker is not None and maker.op_type == "Concat":
            yield from (part for read in self._inputs(maker) for part in self._leaves(maker, read, again))
            return
        sizes = self._sizes(name)
        axis = _axis(join, len(sizes))
        if any(
            node.op_type == "Slice" and (axis is None or not self._is_across(node, axis, len(sizes))) for node in again
        ):
            return
        made, probes = self._repeated(name, again[::-1])
        yield Part(made, name, probes, None if axis is None else sizes[axis])

    def _sizes(self, name: str) -> tuple[int, ...]:
        constant = self.wiring.constants.get(name)
        return self.shapes.get(name, ()) if constant is None else tuple(constant.dims)

    def _inputs(self, join: onnx.NodeProto) -> list[str]:
        """The tensors that a join's values come from; constants that are all zero are no part."""
        places = _JOINED[join.op_type] or range(len(join.input))
        names = [join.input[place] for place in places if place < len(join.input) and join.input[place]]
        return [name for name in dict.fromkeys(names) if (held := self.wiring.array(name)) is None or held.any()]

    def _is_of_one(self, node: onnx.NodeProto) -> bool:
        """Whether it can be applied to a part as it is: what else it reads is a number, or what it slices by."""
        others = [name for name in node.input[1:] if name]
        return node.op_type in ("Slice", "Resize") or all(
            name in self.wiring.constants and int(np.prod(self.wiring.constants[name].dims)) == 1 for name in others
        )

    def _is_across(self, node: onnx.NodeProto, axis: int, rank: int) -> bool:
        """Whether a Slice leaves the axis that was joined along alone."""
        constant = self.wiring.constants.get(node.input[3]) if len(node.input) > 3 else None
        if constant is None or not rank:
            return False
        return axis not in {int(item) % rank for item in numpy_helper.to_array(constant).reshape(-1)}

    def _cut(self, tensor: str) -> Iterator[Shared]:
        """What Slice, Split and Gather take out of a tensor, moves and functions of single values in between."""
        waiting: list[tuple[str, str, tuple[onnx.NodeProto, ...]]] = [(tensor, tensor, ())]
        seen = {tensor}
        cuts: dict[str, Shared] = {}
        while waiting:
            name, probe, probes = waiting.pop()
            for node in self.wiring.consumers[name]:
                if node.input[0] != name and node.op_type not in ("Add", "Mul"):
                    continue
                made, more = probe, probes
                if node.op_type in (*_ROOM, *_POOLS, *_CUTS):
                    outputs = [item for item in node.output if item][: 1 if node.op_type == "MaxPool" else None]
                elif node.op_type in _CURVES and self._sizes(node.output[0]) == self._sizes(name) != ():
                    outputs = [node.output[0]]
                else:
                    continue
                copy = None
                if node.op_type not in _CURVES and probe != name:
                    copy = self._copy(node, probe)
                    more = (*probes, copy)
                for place, output in enumerate(outputs):
                    if output in seen:
                        continue
                    seen.add(output)
                    if node.op_type not in _CURVES:
                        made = output if copy is None else copy.output[place]
                    if node.op_type in _CUTS:
                        share = cuts.setdefault(node.name, Shared(tensor, node, [], [tensor]))
                        share.parts.append(Part(made, output, more))
                    waiting.append((output, made, more))
        yield from cuts.values()

    def _repeated(self, name: str, nodes: list[onnx.NodeProto]) -> tuple[str, tuple[onnx.NodeProto, ...]]:
        """The nodes one after the other on another tensor; the last one's output."""
        copies = []
        for node in nodes:
            copies.append(self._copy(node, name))
            name = copies[-1].output[0]
        return name, tuple(copies)

    def _copy(self, node: onnx.NodeProto, reads: str) -> onnx.NodeProto:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[0] = reads
        for place, output in enumerate(node.output):
            if output:
                copy.output[place] = fresh(f"{output}_part", self.taken)
                self.taken.add(copy.output[place])
        copy.name = copy.output[0]
        return copy


def moved(tensor: str, wiring: Wiring) -> set[str]:
    """The tensor and all that hold its values in another shape."""
    found, waiting = {tensor}, [tensor]
    while waiting:
        for node in wiring.consumers[waiting.pop()]:
            if node.op_type in (*_ROOM, "MaxPool") and node.output[0] not in found:
                found.add(node.output[0])
                waiting.append(node.output[0])
    return found


def _is_added_up(share: Shared, spans: Mapping[str, float], step: float, wiring: Wiring) -> bool:
    """Whether nobody reads a joined tensor but layers, each of whose results has enough steps.

    What a result sees is the mean square of its channels' spans, weighed as it weighs them: where the small channels
    have large weights, they count.
    """
    layers = _layers_behind(share.tensor, wiring)
    if not layers or any(part.channels is None for part in share.parts):
        return False
    squares = np.concatenate([np.full(part.channels or 0, spans[part.tensor] ** 2) for part in share.parts])
    for node, pooled in layers:
        along = share.channels if node.op_type == "Conv" or pooled else share.last
        weight = wiring.array(node.input[1]) if along else None
        if weight is None:
            return False
        rows = squared(node, weight)
        if rows.shape[1] != len(squares):
            return False
        total = rows.sum(axis=1)
        seen = np.sqrt(rows @ squares / np.where(total > 0, total, 1.0))
        if (seen[total > 0] < LEAST_STEPS * step).any():
            return False
    return True


def _layers_behind(tensor: str, wiring: Wiring) -> list[tuple[onnx.NodeProto, bool]]:
    """The layers that read a tensor, and whether it is the mean of each channel there; none if others read it too.

    Pools and rectifiers keep channels apart, and in order: a layer behind them adds up what a layer before them would.
    """
    found: list[tuple[onnx.NodeProto, bool]] = []
    waiting = [(tensor, False)]
    while waiting:
        name, pooled = waiting.pop()
        if name in wiring.outputs or not wiring.consumers[name]:
            return []
        for node in wiring.consumers[name]:
            if node.op_type in WEIGHTED and node.input[0] == name:
                found.append((node, pooled))
            elif node.op_type in (*_POOLS, "Relu", "Clip", "LeakyRelu"):
                waiting.append((node.output[0], pooled or node.op_type.startswith("Global")))
            elif pooled and node.op_type in ("Flatten", "Reshape", "Squeeze"):
                waiting.append((node.output[0], pooled))
            else:
                return []
    return found


def squared(node: onnx.NodeProto, weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """What each result of a layer weighs each channel of its input with, squared: (results, channels)."""
    square = np.square(weight.astype(np.float64))
    if node.op_type != "Conv":
        return square if node.op_type == "Gemm" and attribute(node, "transB", 0) else square.T
    each = square.reshape(*square.shape[:2], -1).sum(axis=2)
    groups = int(attribute(node, "group", 1))
    rows = np.zeros((len(each), each.shape[1] * groups))
    for place, row in enumerate(each):
        start = place * groups // len(each) * each.shape[1]
        rows[place, start : start + each.shape[1]] = row
    return rows
