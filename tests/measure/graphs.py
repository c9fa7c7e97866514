"""Small ONNX graphs whose costs can be counted by hand, and a data source over arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static

from edgepipe.contract import Batch, Preprocessing, Signature, Split


def tensor(name: str, *shape: int, scale: float = 0.1) -> TensorProto:
    """Normal float32 values; the same name gives the same values."""
    draw = np.random.default_rng(sum(name.encode())).standard_normal(shape)
    return numpy_helper.from_array((draw * scale).astype(np.float32), name)


def save(
    path: Path,
    nodes: list[NodeProto],
    stored: list[TensorProto],
    *,
    input_shape: Sequence[int | str] = ("n", 3, 16, 16),
    output_shape: Sequence[int | str] | None = ("n", 10),
) -> Path:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(input_shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None if output_shape is None else list(output_shape))],
        stored,
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def small_network(path: Path, *, batch: int | str = "n", activation: str = "Relu", size: int = 16) -> Path:
    """Two convolutions and a Gemm: 3x16x16 -> 16x16x16 -> 32x8x8 -> 10 classes."""
    nodes = [
        helper.make_node("Conv", ["x", "one.weight", "one.bias"], ["c1"], name="n1", pads=[1, 1, 1, 1]),
        helper.make_node(activation, ["c1"], ["r1"], name="a1"),
        helper.make_node(
            "Conv", ["r1", "two.weight", "two.bias"], ["c2"], name="n2", pads=[1, 1, 1, 1], strides=[2, 2]
        ),
        helper.make_node(activation, ["c2"], ["r2"], name="a2"),
        helper.make_node("GlobalAveragePool", ["r2"], ["g"], name="pool"),
        helper.make_node("Flatten", ["g"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "fc.weight", "fc.bias"], ["y"], name="n3", transB=1),
    ]
    stored = [
        tensor("one.weight", 16, 3, 3, 3),
        tensor("one.bias", 16),
        tensor("two.weight", 32, 16, 3, 3),
        tensor("two.bias", 32),
        tensor("fc.weight", 10, 32, scale=1.0),
        tensor("fc.bias", 10),
    ]
    return save(path, nodes, stored, input_shape=(batch, 3, size, size), output_shape=(batch, 10))


SMALL_MACS = 16 * 16 * 16 * 27 + 32 * 8 * 8 * 144 + 10 * 32
SMALL_PARAMETERS = 16 * 27 + 16 + 32 * 144 + 32 + 320 + 10


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        draw = np.random.default_rng(0)
        self.batches = iter([{"x": draw.standard_normal((8, 3, 16, 16)).astype(np.float32)} for _ in range(2)])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self.batches, None)


def quantized(source: Path, path: Path) -> Path:
    """Static int8, U8S8 per channel, by ONNX Runtime's own quantizer."""
    quantize_static(
        source, path, _Reader(), per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8
    )
    return path


def dynamic(source: Path, path: Path, *operators: str) -> Path:
    """Dynamic int8 of the given operators."""
    quantize_dynamic(source, path, op_types_to_quantize=list(operators))
    return path


class Arrays:
    """A data source over arrays in memory: evaluation only."""

    def __init__(self, inputs: NDArray[np.float32], labels: NDArray[np.int64] | None, classes: int = 10) -> None:
        self.inputs, self.given = inputs, labels
        self.signature = Signature(
            input_shape=inputs.shape[1:],
            classes=tuple(f"class{i}" for i in range(classes)),
            preprocessing=Preprocessing(mean=(0.5,) * inputs.shape[1], std=(0.25,) * inputs.shape[1]),
        )

    def count(self, split: Split) -> int:
        return len(self.inputs) if split is Split.EVALUATION else 0

    def digest(self, split: Split) -> str:
        return f"arrays-{split}"

    def labels(self, split: Split) -> NDArray[np.int64] | None:
        return self.given if split is Split.EVALUATION else None

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        order = list(range(self.count(split))) if indices is None else list(indices)
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            yield Batch({"input": self.inputs[part]}, None if self.given is None else self.given[part])


def pictures(count: int = 30, *, labelled: bool = True) -> Arrays:
    """Random 3x16x16 pictures with random labels of ten classes."""
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 10, count) if labelled else None
    return Arrays(draw.standard_normal((count, 3, 16, 16)).astype(np.float32), labels)
