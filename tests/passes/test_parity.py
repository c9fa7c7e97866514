"""What decides whether a file of another format answers as the ONNX file does."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepipe.errors import ParityError
from edgepipe.formats.parity import compare


class Rows:
    """64 rows of four positive numbers."""

    def __init__(self, task: str) -> None:
        self.signature = SimpleNamespace(task=task)

    def count(self, _split: Any) -> int:
        return 64

    def batches(self, _split: Any, _size: int, _rows: range) -> Iterator[Any]:
        drawn = np.random.default_rng(0).standard_normal((64, 4))
        yield SimpleNamespace(inputs=np.abs(drawn).astype(np.float32))


def total(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows.sum(axis=1, keepdims=True)


def judged(task: str, other: Any, source: Any = total) -> dict[str, float | int]:
    return compare(source, other, Rows(task), int8=True, tolerance=1e-3, agreement=0.98, examples=64, what="tflite")  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["regression", "classification", "embedding"])
def test_single_values_are_judged_by_their_size_and_not_by_their_sign(task: str) -> None:
    assert judged(task, lambda rows: total(rows) * 1.01)["r2"] > 0.98
    with pytest.raises(ParityError, match="R2 -"):
        judged(task, lambda rows: (10 * total(rows) + 3) ** 2)
    with pytest.raises(ParityError, match=r"R2 0\.0"):
        judged(task, lambda rows: np.full((len(rows), 1), total(rows).mean(), np.float32))


def test_classes_are_judged_by_the_largest_and_vectors_by_their_direction() -> None:
    def rows(given: NDArray[np.float32]) -> NDArray[np.float32]:
        return given

    assert judged("classification", lambda given: given * 2 + 5, rows)["agreement"] == 1.0
    assert judged("embedding", lambda given: given * 2, rows)["cosine"] == pytest.approx(1.0)
    with pytest.raises(ParityError):
        judged("classification", lambda given: -given, rows)
    with pytest.raises(ParityError):
        judged("embedding", lambda given: given[:, ::-1].copy(), rows)
