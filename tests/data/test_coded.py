"""A change of the code that opens a third party's data is other data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepipe.contract import Dataset, DataSource, Split
from edgepipe.data import coded
from edgepipe.data.digits import DigitsData
from edgepipe.testing.toys import ToyData


class Toys(DataSource):
    """Noise."""

    def open(self, cache: Path) -> Dataset:  # noqa: ARG002
        return ToyData()


def test_another_version_of_its_code_is_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = coded.opened(Toys(), tmp_path), coded.opened(Toys(), tmp_path)
    assert first.digest(Split.TRAIN) == again.digest(Split.TRAIN) != ToyData().digest(Split.TRAIN)
    monkeypatch.setattr(coded, "code_digest", lambda _: "another")
    assert coded.opened(Toys(), tmp_path).digest(Split.TRAIN) != first.digest(Split.TRAIN)


def test_all_else_is_as_it_was_opened(tmp_path: Path) -> None:
    data = coded.opened(Toys(), tmp_path)
    assert data.signature == ToyData.signature
    assert data.count(Split.EVALUATION) == 32
    assert np.array_equal(data.labels(Split.EVALUATION), ToyData().labels(Split.EVALUATION))
    batches = list(data.batches(Split.EVALUATION, 20))
    assert [len(batch) for batch in batches] == [20, 12]
    source = DigitsData(image_size=8, workers=0)
    assert coded.opened(source, tmp_path).digest(Split.TRAIN) == source.open(tmp_path).digest(Split.TRAIN)
