"""Counts, names and the signature follow from the examples of each split."""

from __future__ import annotations

from edgepipe.contract import Signature, Split
from edgepipe.data.lines import Lines
from edgepipe.data.views import Views


class Some(Views[Lines]):
    def __init__(self) -> None:
        self._signature = Signature(input_shape=(3, 4, 5))
        held = {Split.TRAIN: ["a", "b"], Split.CALIBRATION: ["b"], Split.EVALUATION: []}
        self._views = {split: Lines(names, names, names, lambda _row: b"") for split, names in held.items()}


def test_each_split_has_its_own_count_and_names() -> None:
    data = Some()
    assert [data.count(split) for split in Split] == [2, 1, 0]
    assert data.names(Split.TRAIN) == ["a", "b"]
    assert data.signature.input_shape == (3, 4, 5)
