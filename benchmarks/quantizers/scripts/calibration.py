"""The calibration pictures as every tool gets them; needs numpy and onnx."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

BATCH = 25


def batches(model: str, pictures: str) -> list[dict[str, Any]]:
    """Batches by input name, of the model's own size where that is fixed."""
    graph = onnx.load(model, load_external_data=False).graph
    stored = {tensor.name for tensor in graph.initializer}
    wanted = next(item for item in graph.input if item.name not in stored)
    size = wanted.type.tensor_type.shape.dim[0].dim_value or BATCH
    with np.load(pictures, allow_pickle=False) as arrays:
        images = arrays["images"]
    whole = len(images) - len(images) % size if wanted.type.tensor_type.shape.dim[0].dim_value else len(images)
    return [{wanted.name: images[start : start + size]} for start in range(0, whole, size)]


def is_transformer(model: str) -> bool:
    """Whether matrix products outnumber convolutions."""
    kinds = [node.op_type for node in onnx.load(model, load_external_data=False).graph.node]
    return sum(kind in ("MatMul", "Gemm") for kind in kinds) > kinds.count("Conv")


class Reader:
    """What ONNX Runtime's quantizer and those built on it read: `get_next` until None, then `rewind`."""

    def __init__(self, model: str, pictures: str) -> None:
        self._batches = batches(model, pictures)
        self.rewind()

    def __len__(self) -> int:
        return len(self._batches)

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, or None at the end."""
        return next(self._left, None)

    def rewind(self) -> None:
        """Begin again."""
        self._left = iter(self._batches)
