"""Toy models and data that the kits run on: made on the fly, the same each time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import ONNX_FILE, Artifact, Batch, Kind, Signature, Split, Tensor, seal

CLASSES = 8
SIGNATURE = Signature(
    inputs=(Tensor(name="input", shape=(3, 16, 16)),),
    classes=tuple(f"class{number}" for number in range(CLASSES)),
)
"""Pictures of 8 classes."""


class ToyData:
    """A `Dataset` of noise: 48 train, 16 calibration and 32 evaluation pictures of 8 classes."""

    signature = SIGNATURE
    _counts: Mapping[Split, int] = {Split.TRAIN: 48, Split.CALIBRATION: 16, Split.EVALUATION: 32}

    def count(self, split: Split) -> int:
        """Number of examples."""
        return self._counts[split]

    def digest(self, split: Split) -> str:
        """Hex SHA-256 of all pictures."""
        return hashlib.sha256(self._pictures(split).tobytes()).hexdigest()

    def labels(self, split: Split) -> NDArray[np.int64]:
        """Classes in turn."""
        return np.arange(self.count(split), dtype=np.int64) % CLASSES

    def batches(self, split: Split, batch_size: int, indices: Sequence[int] | None = None) -> Iterator[Batch]:
        """Pictures in the order of `indices`."""
        rows = np.arange(self.count(split)) if indices is None else np.asarray(indices, np.intp)
        pictures, labels = self._pictures(split), self.labels(split)
        for start in range(0, len(rows), batch_size):
            some = rows[start : start + batch_size]
            yield Batch({"input": pictures[some]}, labels[some])

    def _pictures(self, split: Split) -> NDArray[np.float32]:
        rng = np.random.default_rng([*str(split).encode()])
        return rng.standard_normal((self.count(split), 3, 16, 16)).astype(np.float32)


def classifier(path: Path) -> Path:
    """`input`, float32 (n, 3, 16, 16), to `scores`, (n, 8): two convolutions and a matrix product."""
    from onnx import helper

    nodes = [
        helper.make_node("Conv", ["input", "w1", "b1"], ["c1"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["a1"], name="relu1"),
        helper.make_node("Conv", ["a1", "w2", "b2"], ["c2"], name="conv2", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["a2"], name="relu2"),
        helper.make_node("GlobalAveragePool", ["a2"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["scores"], name="product", transB=1),
    ]
    shapes: dict[str, tuple[int, ...]] = {"w1": (16, 3, 3, 3), "b1": (16,), "w2": (32, 16, 3, 3), "b2": (32,)}
    shapes |= {"w3": (CLASSES, 32), "b3": (CLASSES,)}
    return _save(path, nodes, shapes, {"input": ("n", 3, 16, 16)}, {"scores": ("n", CLASSES)})


def two_ends(path: Path) -> Path:
    """`left` and `right`, float32 (n, 4) each, to `sum`, (n, 4), and `product`, (n, 3)."""
    from onnx import helper

    nodes = [
        helper.make_node("Add", ["left", "right"], ["sum"], name="add"),
        helper.make_node("MatMul", ["sum", "w"], ["product"], name="product"),
    ]
    inputs = {"left": ("n", 4), "right": ("n", 4)}
    return _save(path, nodes, {"w": (4, 3)}, inputs, {"sum": ("n", 4), "product": ("n", 3)})


def _save(
    path: Path,
    nodes: Sequence[Any],
    stored: Mapping[str, tuple[int, ...]],
    inputs: Mapping[str, tuple[int | str, ...]],
    outputs: Mapping[str, tuple[int | str, ...]],
) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array((0.2 * rng.standard_normal(shape)).astype(np.float32), name)
        for name, shape in stored.items()
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in side.items()]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "toy", ends[0], ends[1], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def onnx_artifact(folder: Path) -> Artifact:
    """The classifier as an artifact."""
    folder.mkdir(parents=True)
    classifier(folder / ONNX_FILE)
    return seal(folder, Kind.ONNX, SIGNATURE)


def torch_artifact(folder: Path) -> Artifact:
    """A small convolutional network with batch norms as an artifact."""
    from edgepipe.torch.artifact import new_architecture, write
    from edgepipe.torch.factory import trust

    folder.mkdir(parents=True)
    base: dict[str, Any] = {"source": "python", "factory": f"{__name__}:network", "kwargs": {}}
    trust(base["factory"], base["kwargs"])
    return write(network(), new_architecture(base), folder, SIGNATURE)


def network() -> Any:
    """A torch.nn.Module: a batch norm, an activation without int8 kernel, a product."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.SiLU(),
            nn.Conv2d(16, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, CLASSES),
        )
