"""Axes with names, given numbers, and the examples that have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgepipe.contract import Batch, Signature, Split, Tensor
from edgepipe.formats.fixed import OfShape, fixed, free_axes
from tests.onnx import networks


class OfTwoLengths:
    """Examples of lengths 3, 3, 5, 5, 5; a batch holds those of one."""

    signature = Signature(inputs=(Tensor(name="x", shape=("length", 2)),), task="agreement")

    def count(self, split: Split) -> int:
        return 5 if split is Split.EVALUATION else 0

    def digest(self, split: Split) -> str:
        return str(split)

    def labels(self, _split: Split) -> None:
        return None

    def batches(self, _split, _size, indices=None):  # type: ignore[no-untyped-def]
        for index in range(5) if indices is None else indices:
            yield Batch({"x": np.full((1, 3 if index < 2 else 5, 2), index)})


def test_examples_of_other_lengths_are_left_out() -> None:
    data = OfTwoLengths()
    assert free_axes(data.signature.inputs) == ["length"]
    some = OfShape(data, [Tensor(name="x", shape=(5, 2))])
    assert (some.rows, some.count(Split.EVALUATION), some.count(Split.CALIBRATION)) == ([2, 3, 4], 3, 0)
    assert [int(batch.only[0, 0, 0]) for batch in some.batches(Split.EVALUATION, 1, [2, 0])] == [4, 2]


def test_without_numbers_the_file_is_written_from_as_it_is(tmp_path: Path) -> None:
    data, file = OfTwoLengths(), networks.encoder(tmp_path / "m.onnx")
    with fixed(file, data, {}, "export") as given:
        assert given == (file, data)
