"""Second moments of what the layers with weights read, streamed over the calibration examples.

A layer computes `W x` for columns x: a pixel's neighbourhood for a convolution, a row for a matrix product.
How much a change of W costs depends only on the second moment of x, so it is all that learned rounding needs to know
about the data; the activations are never kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgepipe.quant.arithmetic.affine import dequantize, quantize
from edgepipe.quant.calibrate.observers import Typical, at_least, energies_of

Floats = NDArray[np.float32]
LARGEST_COLUMN = 8192
"""Longer columns (a 25,088-wide classifier) would need gigabytes for their second moment; such layers are skipped."""


@dataclass(frozen=True)
class Geometry:
    """How a layer cuts its input into columns. Of a matrix product, only `groups` = 1 and no kernel."""

    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    groups: int = 1
    auto_pad: str = "NOTSET"


def geometry(node: onnx.NodeProto, weight_shape: Sequence[int]) -> Geometry:
    """Of a Conv, Gemm or MatMul node."""
    if node.op_type != "Conv":
        return Geometry()
    found = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    kernel = tuple(int(side) for side in weight_shape[2:])
    ones = (1,) * len(kernel)
    auto = found.get("auto_pad", b"NOTSET")
    return Geometry(
        kernel,
        tuple(found.get("strides", ones)),
        tuple(found.get("dilations", ones)),
        tuple(found.get("pads", (0,) * (2 * len(kernel)))),
        int(found.get("group", 1)),
        auto.decode() if isinstance(auto, bytes) else str(auto),
    )


def columns(inputs: Floats, shape: Geometry, most: int, drawn: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
    """At most `most` columns of a layer's input, drawn without replacement.

    Args:
        inputs: float32, (n, channels, *spatial) of a convolution, (..., features) of a matrix product.
    Returns:
        float32, (groups, columns, length of a column), and for each column the example it is from, int64. A column
        of a convolution is in the order of its weight's axes 1 …: channel, then place in the kernel.
    """
    if not shape.kernel:
        rows = inputs.reshape(-1, inputs.shape[-1])
        chosen = _draw(len(rows), most, drawn)
        taken = rows if chosen is None else rows[chosen]
        places = np.arange(len(rows)) if chosen is None else chosen
        return np.ascontiguousarray(taken)[None], places // max(1, len(rows) // len(inputs))
    spans = spans_of(shape)
    padded = np.pad(inputs, ((0, 0), (0, 0), *paddings(inputs.shape[2:], shape)))
    axes = tuple(range(2, padded.ndim))
    windows = sliding_window_view(padded, spans, axis=axes)
    steps = tuple(slice(None, None, step) for step in shape.strides)
    inside = tuple(slice(None, None, step) for step in shape.dilations)
    windows = windows[(slice(None), slice(None), *steps, *inside)]
    spatial = windows.shape[2 : 2 + len(axes)]
    count = len(inputs) * int(np.prod(spatial))
    chosen = _draw(count, most, drawn)
    number, *place = np.unravel_index(np.arange(count) if chosen is None else chosen, (len(inputs), *spatial))
    taken = windows[(number, slice(None), *place)]  # type: ignore[arg-type]  # (columns, channels, *kernel)
    groups = shape.groups
    split = taken.reshape(len(taken), groups, -1)
    return np.ascontiguousarray(split.transpose(1, 0, 2)), number


def spans_of(shape: Geometry) -> list[int]:
    """What a kernel reaches over along each spatial axis."""
    return [(side - 1) * step + 1 for side, step in zip(shape.kernel, shape.dilations, strict=True)]


def _draw(count: int, most: int, drawn: np.random.Generator) -> NDArray[np.int64] | None:
    return None if count <= most else np.sort(drawn.choice(count, most, replace=False))


def paddings(spatial: Sequence[int], shape: Geometry) -> list[tuple[int, int]]:
    """Zeros before and after each spatial axis (ONNX Conv, `pads` and `auto_pad`)."""
    half = len(shape.kernel)
    if shape.auto_pad in ("NOTSET", ""):
        return [(shape.pads[axis], shape.pads[axis + half]) for axis in range(half)]
    if shape.auto_pad == "VALID":
        return [(0, 0)] * half
    pairs = []
    for side, span, step in zip(spatial, spans_of(shape), shape.strides, strict=True):
        total = max(0, (-(-side // step) - 1) * step + span - side)
        small, large = total // 2, total - total // 2
        pairs.append((small, large) if shape.auto_pad == "SAME_UPPER" else (large, small))
    return pairs


class Moments:
    """Running second moment of one layer's quantized columns.

    A column of an odd example, of many times the energy of most, weighs by as much less. Else one picture with a
    thousand times the energy of the others decides how the weights are rounded for all of them.

    Args:
        groups: of channels, which are multiplied each by itself.
        length: of a column.
        typical: energy of most examples; 0: the median of those seen so far.

    Attributes:
        count: columns so far, as they weigh.
    """

    def __init__(self, shape: Geometry, groups: int, length: int, *, typical: float = 0.0) -> None:
        self.shape, self.groups, self.length = shape, groups, length
        self._typical, self._seen = typical, Typical()
        self.count = 0.0
        self._sum = np.zeros((groups, length))
        self._products = np.zeros((groups, length, length), np.float32)
        self._about: NDArray[np.float32] | None = None  # float32 sums about zero cancel where inputs hardly vary

    def observe(
        self, inputs: Floats, scale: np.float32, zero_point: int, most: int, drawn: np.random.Generator
    ) -> None:
        """Take in one batch of a layer's float input; the quantized one follows from scale and zero point (uint8)."""
        floats, examples = columns(inputs, self.shape, most, drawn)
        energies = energies_of(inputs.reshape(len(inputs), -1))
        self._seen.add(energies)
        # About one for most examples, so that float32 holds the sums of any layer.
        typical = self._typical or self._seen.energy
        weights = (typical / at_least(energies, typical)).astype(np.float32)[examples, None]
        rounded = dequantize(quantize(floats, float(scale), zero_point, np.uint8), float(scale), zero_point)
        self.count += float(weights.sum())
        self._sum += (rounded * weights).sum(axis=1, dtype=np.float64)
        if self._about is None:
            self._about = rounded.mean(axis=1, keepdims=True)
        moved = (rounded - self._about) * np.sqrt(weights)
        self._products += np.matmul(moved.transpose(0, 2, 1), moved)

    @property
    def mean(self) -> NDArray[np.float64]:
        """float64, (groups, length): of the quantized columns."""
        return self._sum / max(self.count, 1e-30)

    def covariance(self, *, centered: bool) -> Floats:
        """float32, (groups, length, length): second moment of the columns, about their mean if `centered`."""
        mean = self.mean
        moment = (self._products / max(self.count, 1e-30)).astype(np.float32)
        if self._about is not None:
            off = mean - self._about[:, 0]
            moment = moment - (off[:, :, None] * off[:, None, :]).astype(np.float32)
        if not centered:
            moment = moment + (mean[:, :, None] * mean[:, None, :]).astype(np.float32)
        return np.asarray(moment, np.float32)


def watch(
    layers: Mapping[str, tuple[onnx.NodeProto, Sequence[int]]],
    parameters: Mapping[str, tuple[np.float32, int]],
    *,
    per_example: int,
    typical: Mapping[str, float],
) -> tuple[dict[str, Moments], Callable[[str, Floats], None]]:
    """Moments of each layer, and the function that takes in a tensor of the float run.

    Args:
        layers: node name to the node and the shape of its weight.
        parameters: scale and zero point of each quantized tensor.
        per_example: columns drawn from each example, at most.
        typical: energy that most examples have in each tensor, where it is known.
    """
    found: dict[str, Moments] = {}
    readers: dict[str, list[str]] = {}
    drawn = np.random.default_rng(0)
    for name, (node, weight_shape) in layers.items():
        shape = geometry(node, weight_shape)
        length = column_length(node, weight_shape)
        if length <= LARGEST_COLUMN:
            found[name] = Moments(shape, shape.groups, length, typical=typical.get(node.input[0], 0.0))
            readers.setdefault(node.input[0], []).append(name)

    def take(tensor: str, values: Floats) -> None:
        for name in readers.get(tensor, ()):
            found[name].observe(values, *parameters[tensor], per_example * len(values), drawn)

    return found, take


def column_length(node: onnx.NodeProto, weight_shape: Sequence[int]) -> int:
    """Of a Conv, Gemm or MatMul node: how many values each of its results is a sum of."""
    if node.op_type == "Conv":
        return int(np.prod(weight_shape[1:]))
    across = node.op_type == "Gemm" and any(item.name == "transB" and item.i for item in node.attribute)
    return int(weight_shape[1] if across else weight_shape[0])
