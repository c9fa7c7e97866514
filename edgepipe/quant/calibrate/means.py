"""Mean of what each layer reads, in float and as quantized; taken inside the runtime, so that little leaves it.

The mean error of a layer's results is `W E[x] - Wq E[xq]` for the columns x that it reads. Under each place of its
kernel a convolution reads the mean of its channel, as often as that place does not lie in the padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgepipe.contract import Dataset, Progress
from edgepipe.onnx.names import fresh, tensor_names
from edgepipe.quant.calibrate.moments import Geometry, column_length, geometry, paddings
from edgepipe.quant.calibrate.observers import Typical, at_least
from edgepipe.quant.calibrate.run import stream

Layers = Mapping[str, tuple[onnx.NodeProto, Sequence[int]]]
"""Node name to the node and the shape of its weight."""


@dataclass(frozen=True)
class Means:
    """What one layer reads in the mean, of each example.

    Attributes:
        floats: float64, (examples, groups, length of a column).
        quantized: the same after quantizing and dequantizing the input.
        weights: what each example counts, (examples,); an odd one, of many times the energy of most, less.
    """

    floats: NDArray[np.float64]
    quantized: NDArray[np.float64]
    weights: NDArray[np.float64]

    def error(self, rows: NDArray[np.float32], stored: NDArray[np.float32]) -> NDArray[np.float64]:
        """By how much the mean of each output channel moves, (channels,).

        Less where the examples hardly agree on it: by as much as their number makes likely by chance (the positive
        part of James and Stein's shrinkage).

        Args:
            rows: float weights, (channels, length).
            stored: the same, quantized and dequantized.
        """
        groups, length = self.floats.shape[1:]
        wanted, got = (
            np.matmul(columns.transpose(1, 0, 2), weight.reshape(groups, -1, length).transpose(0, 2, 1))
            for columns, weight in ((self.floats, rows), (self.quantized, stored))
        )
        each = (got - wanted).transpose(1, 0, 2).reshape(len(self.weights), -1)
        shares = self.weights / self.weights.sum()
        mean = shares @ each
        chance = np.square(shares) @ np.square(each - mean)
        kept: NDArray[np.float64] = mean * np.maximum(0.0, 1 - chance / np.maximum(np.square(mean), 1e-300))
        return kept


def layer_means(
    model: onnx.ModelProto,
    layers: Layers,
    parameters: Mapping[str, tuple[np.float32, int]],
    data: Dataset,
    *,
    examples: int,
    batch_size: int,
    progress: Progress,
) -> dict[str, Means]:
    """Means of each layer by node name.

    Args:
        parameters: scale and zero point of each quantized tensor.
        examples: calibration examples, spread evenly. What is held of each is a number for each channel.
    """
    probe = _Probe(model)
    names = {
        name: probe.means(node, column_length(node, shape), *parameters[node.input[0]])
        for name, (node, shape) in layers.items()
    }
    seen: dict[str, list[NDArray[np.float32]]] = {name: [] for name in probe.outputs}
    if names:
        stream(
            probe.model,
            probe.outputs,
            data,
            lambda tensor, values: seen[tensor].append(values),
            batch_size=batch_size,
            examples=examples,
            progress=progress,
        )
    found = {}
    for name, (node, shape) in layers.items():
        how = geometry(node, shape)
        floats, quantized, sizes = ([*seen[output]] for output in names[name])
        covered = [_covered(how, [int(side) for side in size[2:]]) for size in sizes]
        both = [
            np.concatenate([_columns(value, cover, how) for value, cover in zip(values, covered, strict=True)])
            for values in (floats, quantized)
        ]
        weights = _weights(both[0])
        if weights.any():
            found[name] = Means(both[0], both[1], weights)
    return found


def _columns(means: NDArray[np.float32], covered: NDArray[np.float64], how: Geometry) -> NDArray[np.float64]:
    """Means of channels, (n, channels, …), as those of columns, (n, groups, length)."""
    channels = means.reshape(len(means), how.groups, -1, 1).astype(np.float64)
    return np.asarray((channels * covered.reshape(-1)).reshape(len(means), how.groups, -1))


def _covered(how: Geometry, spatial: Sequence[int]) -> NDArray[np.float64]:
    """How often each place of a kernel lies inside the input: shares of all its steps, shaped as the kernel."""
    covered = np.ones(1)
    if not how.kernel:
        return covered
    pads = paddings(spatial, how)
    for side, (before, after), kernel, stride, apart in zip(
        spatial, pads, how.kernel, how.strides, how.dilations, strict=True
    ):
        steps = max(1, (side + before + after - (kernel - 1) * apart - 1) // stride + 1)
        places = np.arange(steps)[None] * stride + np.arange(kernel)[:, None] * apart - before
        share = ((places >= 0) & (places < side)).mean(axis=1)
        covered = covered[..., None] * share
    return covered


def _weights(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    energies = np.square(columns).reshape(len(columns), -1).mean(axis=1)
    typical = Typical()
    typical.add(energies)
    return typical.energy / at_least(energies, typical.energy)


class _Probe:
    """A copy of the model that hands out means of its tensors."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.outputs: list[str] = []
        self._taken = tensor_names(model.graph)
        self._opset = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
        self._known: dict[Any, str] = {}

    def means(self, layer: onnx.NodeProto, length: int, scale: np.float32, zero_point: int) -> tuple[str, str, str]:
        """Names of outputs: both means of what a layer reads, (n, channels, …), and the shape of that."""
        tensor = layer.input[0]
        given = [self._constant(np.asarray(scale, np.float32)), self._constant(np.asarray(zero_point, np.uint8))]
        integers = self._node("QuantizeLinear", [tensor, *given])
        both = [tensor, self._node("DequantizeLinear", [integers, *given])]
        if layer.op_type == "Conv":
            found = [self._node("GlobalAveragePool", [each]) for each in both]
        else:
            shape = self._constant(np.array([0, -1, length]))
            found = [self._mean(self._node("Reshape", [each, shape])) for each in both]
        sizes = self._node("Cast", [self._node("Shape", [tensor])], to=onnx.TensorProto.FLOAT)
        self.outputs += [name for name in (*found, sizes) if name not in self.outputs]
        return found[0], found[1], sizes

    def _mean(self, tensor: str) -> str:
        if self._opset >= 18:
            return self._node("ReduceMean", [tensor, self._constant(np.array([1]))], keepdims=0)
        return self._node("ReduceMean", [tensor], keepdims=0, axes=[1])

    def _node(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """The name of its result; what is there already is not computed again."""
        key = (operator, *inputs, str(attributes))
        if key not in self._known:
            name = self._known[key] = self._fresh(f"edgepipe_{operator}")
            self.model.graph.node.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return self._known[key]

    def _constant(self, value: NDArray[Any]) -> str:
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._known:
            name = self._known[key] = self._fresh("edgepipe_constant")
            self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return self._known[key]

    def _fresh(self, wanted: str) -> str:
        name = fresh(wanted, self._taken)
        self._taken.add(name)
        return name
