"""What a model weighs: bytes as stored and as transferred, parameters, and the share that is not zero."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto

from edgepipe.onnx.graph import MOVES, Graph, elements
from edgepipe.onnx.operators import LAYERS, attribute

_PIECE = 1 << 20

_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}

# Input slots that hold how a tensor is coded or how an operator behaves, not what was learned.
_QLINEAR = {1, 2, 4, 5, 6, 7}
_NOT_LEARNED: dict[str, set[int]] = {
    "QuantizeLinear": {1, 2},
    "DequantizeLinear": {1, 2},
    "QLinearConv": _QLINEAR,
    "QLinearMatMul": _QLINEAR,
    "QLinearAdd": _QLINEAR,
    "QLinearMul": _QLINEAR,
    "QGemm": {1, 2, 4, 5, 7, 8},
    "ConvInteger": {2, 3},
    "MatMulInteger": {2, 3},
    "MatMulIntegerToFloat": {2, 3, 4, 5},
    "DynamicQuantizeMatMul": {2, 3},
    "MatMulNBits": {2, 3, 4},
    "Clip": {1, 2},
    "Resize": {1, 2, 3},
    "Upsample": {1},
    "Pad": {1, 2, 3},
}

# Input slots whose integers are quantized weights or biases, with the slot of their zero point.
_QUANTIZED: dict[str, dict[int, int | None]] = {
    "DequantizeLinear": {0: 2},
    "QLinearConv": {3: 5, 8: None},
    "QLinearMatMul": {0: 2, 3: 5},
    "QLinearAdd": {0: 2, 3: 5},
    "QLinearMul": {0: 2, 3: 5},
    "QGemm": {3: 5, 6: None},
    "ConvInteger": {1: 3},
    "MatMulInteger": {1: 3},
    "MatMulIntegerToFloat": {1: 5},
    "DynamicQuantizeMatMul": {1: 3},
    "MatMulNBits": {1: 3},
    "Gather": {0: None},
}


@dataclass(frozen=True)
class Parameters:
    """Stored weights and biases, scales and zero points not counted; `zeros` of them stand for 0."""

    count: int
    zeros: int

    @property
    def nonzero_share(self) -> float:
        """Share in [0, 1]; 1 for a model without parameters."""
        return 1.0 - self.zeros / self.count if self.count else 1.0


def size_bytes(files: Sequence[Path]) -> int:
    """Bytes of a model, weights stored outside the ONNX file included."""
    return sum(file.stat().st_size for file in files)


def gzip_bytes(files: Sequence[Path]) -> int:
    """Bytes after gzip -6, streamed; the header has no time or name, so equal files give equal numbers."""
    total = 0
    for file in files:
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)  # 16 + 15: gzip framing
        with file.open("rb") as stream:
            while piece := stream.read(_PIECE):
                total += len(packer.compress(piece))
        total += len(packer.flush())
    return total


def parameters(graph: Graph) -> Parameters:
    """Count the parameters; quantized ones are zero where they equal their zero point.

    A float constant of a single element (the 0.5 of a GELU) is arithmetic, not a parameter,
    unless a convolution or matrix product uses it.
    """
    count = zeros = 0
    for name, tensor in graph.stored.items():
        found = next((use for use in _uses(graph, name) if _is_parameter(graph, tensor, *use)), None)
        if found is None:
            continue
        node, slot = found
        if node.op_type == "MatMulNBits":
            values, zero = _unpacked(graph, node)
        else:
            values = graph.array(name)
            zero = _zero_point(graph, node, slot, values) if tensor.data_type not in _FLOATS else np.zeros(1)
        count += values.size
        zeros += int(np.count_nonzero(values == zero))
    return Parameters(count, zeros)


def _uses(graph: Graph, tensor: str, depth: int = 0) -> Iterator[tuple[NodeProto, int]]:
    """Nodes and slots that take the tensor, looking through reshapes."""
    for node, slot in graph.users.get(tensor, ()):
        if node.op_type in MOVES and slot == 0 and depth < 8:
            yield from _uses(graph, node.output[0], depth + 1)
        else:
            yield node, slot


def _is_parameter(graph: Graph, tensor: TensorProto, node: NodeProto, slot: int) -> bool:
    if node.op_type == "Gather" and tensor.data_type not in {*_FLOATS, TensorProto.INT8, TensorProto.UINT8}:
        return False  # sizes and positions
    if tensor.data_type not in _FLOATS:
        return slot in _QUANTIZED.get(node.op_type, {})
    if slot in _NOT_LEARNED.get(node.op_type, ()) or elements(tensor) == 0:
        return False
    if node.op_type == "Mul" and any(_is_dynamic_scale(graph, other) for other in node.input):
        return False  # the weight's scale, multiplied with the activation's after ConvInteger or MatMulInteger
    return elements(tensor) > 1 or node.op_type in LAYERS


def _is_dynamic_scale(graph: Graph, tensor: str) -> bool:
    producer = graph.producer.get(tensor)
    return producer is not None and producer.op_type == "DynamicQuantizeLinear" and tensor == producer.output[1]


def _zero_point(graph: Graph, node: NodeProto, slot: int, values: NDArray[Any]) -> NDArray[Any]:
    """The zero point of a quantized tensor, shaped to compare with `values`."""
    where = _QUANTIZED[node.op_type][slot]
    if where is None or where >= len(node.input) or node.input[where] not in graph.stored:
        return np.zeros(1, dtype=np.int32)
    zero = graph.array(node.input[where]).astype(np.int32)
    if zero.size == 1:
        return zero.reshape(-1)
    if node.op_type == "DequantizeLinear":
        axis = int(attribute(node, "axis", 1))
        if zero.ndim == values.ndim and (block := int(attribute(node, "block_size", 0))):
            return np.repeat(zero, block, axis=axis)[tuple(slice(0, size) for size in values.shape)]
    elif node.op_type == "QGemm" and attribute(node, "transB", 0):
        axis = 0
    else:  # convolutions are coded per output channel, matrix products per column
        axis = 0 if LAYERS[node.op_type].family == "conv" else -1
    shape = [1] * values.ndim
    shape[axis] = zero.size
    return zero.reshape(shape) if prod(shape) == zero.size else np.zeros(1, dtype=np.int32)


def _unpacked(graph: Graph, node: NodeProto) -> tuple[NDArray[Any], NDArray[Any]]:
    """Values and zero points of a MatMulNBits weight, (N, K), from its packed blocks (lowest bits first)."""
    rows, columns = int(attribute(node, "N", 0)), int(attribute(node, "K", 0))
    bits, block = int(attribute(node, "bits", 4)), int(attribute(node, "block_size", 32))
    values = _spread(graph.array(node.input[1]).reshape(rows, -1), bits)[:, :columns]
    if len(node.input) <= 3 or not node.input[3]:
        return values, np.full(1, 1 << (bits - 1))
    stored = graph.array(node.input[3])
    if stored.dtype != np.uint8:  # zero points of the float kind are not integers of the weight
        return values, np.zeros(1)
    blocks = -(-columns // block)
    zero = _spread(stored.reshape(rows, -1), bits)[:, :blocks]
    return values, np.repeat(zero, block, axis=1)[:, :columns]


def _spread(packed: NDArray[Any], bits: int) -> NDArray[Any]:
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    spread = (packed.astype(np.uint8)[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return spread.reshape(packed.shape[0], -1)
