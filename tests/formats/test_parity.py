"""What decides whether a file of another format answers as the ONNX file does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgepipe.contract import Batch
from edgepipe.errors import ParityError
from edgepipe.formats.parity import compare
from edgepipe.onnx.answers import named_answers
from edgepipe.plugins import find
from edgepipe.tasks.agreement import Agreement
from tests.measure.graphs import Arrays
from tests.onnx import networks

Rows = NDArray[np.float32]
X = np.abs(np.random.default_rng(0).standard_normal((64, 4))).astype(np.float32)
"""64 rows of four positive numbers."""


class Numbers(Arrays):
    def __init__(self, task: str) -> None:
        super().__init__(X, None)
        self.signature = self.signature.model_copy(update={"task": task, "classes": ()})


@pytest.fixture
def total(tmp_path: Path) -> Path:
    return graph(tmp_path, helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1))


@pytest.fixture
def same(tmp_path: Path) -> Path:
    return graph(tmp_path, helper.make_node("Identity", ["x"], ["y"]))


def graph(folder: Path, node: object) -> Path:
    ends = {"x": (TensorProto.FLOAT, ("n", 4))}
    return networks.save(folder / "m.onnx", [node], ends, {"y": TensorProto.FLOAT}, {"axes": np.array([1])})  # type: ignore[list-item]


def judged(task: str, file: Path, change: Callable[[Rows], Rows]) -> dict[str, float | int]:
    source = named_answers(file)

    def other(rows: Mapping[str, Rows]) -> dict[str, Rows]:
        return {name: change(value) for name, value in source(rows).items()}  # type: ignore[arg-type]

    how: dict[str, Any] = {"tolerance": 1e-3, "agreement": 0.98, "examples": 64, "what": "tflite"}
    return compare(source, other, Numbers(task), find("tasks", task)(), int8=True, **how)


@pytest.mark.parametrize("task", ["regression", "classification", "embedding"])
def test_single_values_are_judged_by_their_size_and_not_by_their_sign(task: str, total: Path) -> None:
    assert judged(task, total, lambda found: found * 1.01)["r2"] > 0.98
    with pytest.raises(ParityError, match="R2 -"):
        judged(task, total, lambda found: (10 * found + 3) ** 2)
    with pytest.raises(ParityError, match=r"R2 0\.0"):
        judged(task, total, lambda found: np.full_like(found, X.sum(axis=1).mean()))


def test_classes_are_judged_by_the_largest_and_vectors_by_their_direction(same: Path) -> None:
    assert judged("classification", same, lambda found: found * 2 + 5)["agreement"] == 1.0
    assert judged("embedding", same, lambda found: found * 2)["cosine"] == pytest.approx(1.0)
    with pytest.raises(ParityError):
        judged("classification", same, lambda found: -found)
    with pytest.raises(ParityError):
        judged("embedding", same, lambda found: found[:, ::-1].copy())


class Tokens(Numbers):
    """Three inputs of five steps each."""

    def batches(self, _split, _size, indices=None):  # type: ignore[no-untyped-def]
        draw = np.random.default_rng(1)
        whole = {
            "ids": draw.integers(0, 11, (64, 5)),
            "mask": np.ones((64, 5), np.int64),
            "types": draw.integers(0, 2, (64, 5)),
        }
        yield Batch({name: value[list(indices or range(64))] for name, value in whole.items()})


def test_every_output_of_several_inputs_is_compared_and_the_wrong_one_is_named(tmp_path: Path) -> None:
    source = named_answers(networks.encoder(tmp_path / "m.onnx"))

    def other(rows: Mapping[str, Rows]) -> dict[str, Rows]:
        found = source(rows)
        return {"states": found["states"], "pooled": found["pooled"] * factor}  # type: ignore[dict-item]

    settings = {"int8": False, "tolerance": 1e-3, "agreement": 0.98, "examples": 64, "what": "toy"}
    factor = 1.0
    assert compare(source, other, Tokens("agreement"), Agreement(), **settings)["largest_difference"] == 0  # type: ignore[arg-type]
    factor = -1.0
    with pytest.raises(ParityError, match="of its output 'pooled'"):
        compare(source, other, Tokens("agreement"), Agreement(), **settings)  # type: ignore[arg-type]


def test_outputs_as_long_as_each_example_is_are_compared_example_by_example(tmp_path: Path) -> None:
    class OfTwoLengths(Tokens):
        def batches(self, _split, _size, indices=None):  # type: ignore[no-untyped-def]
            for index in range(6) if indices is None else indices:
                yield Batch({name: np.full((1, 3 + index % 2), index % 2) for name in ("ids", "mask", "types")})

    source = named_answers(networks.encoder(tmp_path / "m.onnx"))
    settings = {"int8": False, "tolerance": 1e-3, "agreement": 0.98, "examples": 6, "what": "ort"}
    assert compare(source, source, OfTwoLengths("agreement"), Agreement(), **settings)["largest_difference"] == 0  # type: ignore[arg-type]

    def cut(rows):  # type: ignore[no-untyped-def]
        return {name: value[:, :3] for name, value in source(rows).items()}

    with pytest.raises(ParityError, match="have shape"):
        compare(source, cut, OfTwoLengths("agreement"), Agreement(), **settings)  # type: ignore[arg-type]
