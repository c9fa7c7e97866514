"""Splits, digests and reading of what a user's loader gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgepipe.contract import Split
from edgepipe.errors import DataError
from tests.data.loaders import COUNT, loaded


def test_what_is_read_once_is_the_same_data(tmp_path: Path) -> None:
    by_number, once = (loaded(name).open(tmp_path) for name in ("plain", "generated"))
    assert by_number.signature == once.signature and once.signature.classes == ("a", "b", "c")
    for split in Split:
        assert by_number.digest(split) == once.digest(split)
        one, other = (next(data.batches(split, 7, [9, 3, 4])) for data in (by_number, once))
        assert np.array_equal(one.only, other.only) and one.only.dtype == np.float32
        assert one.labels is not None and one.labels.tolist() == [0, 0, 1]
    assert loaded("plain", seed=1).open(tmp_path).digest(Split.TRAIN) != by_number.digest(Split.TRAIN)
    assert not list(tmp_path.iterdir())  # copies have no name


def test_of_one_set_a_share_is_held_out(tmp_path: Path) -> None:
    data = loaded("one_set", evaluation_share=0.25, calibration_size=4).open(tmp_path)
    assert [data.count(split) for split in Split] == [18, 4, 6]
    held = {bytes(row) for row in next(data.batches(Split.EVALUATION, COUNT)).only}
    assert not held & {bytes(row) for row in next(data.batches(Split.TRAIN, COUNT)).only}


def test_tensors_and_batches_of_torch(tmp_path: Path) -> None:
    data = loaded("tensors").open(tmp_path)
    assert [data.count(split) for split in Split] == [12, 12, 8] and not data.notes  # type: ignore[attr-defined]
    batch = next(data.batches(Split.TRAIN, 12))
    assert batch.only.shape == (12, 3, 4, 4) and batch.labels is not None and batch.labels.tolist() == [0, 1, 2] * 4
    assert data.digest(Split.TRAIN) == loaded("tensors", batch=3).open(tmp_path).digest(Split.TRAIN)
    assert "shuffles" in loaded("tensors", shuffle=True).open(tmp_path).notes[0]  # type: ignore[attr-defined]


def test_names_types_and_free_lengths_are_as_given(tmp_path: Path) -> None:
    data = loaded("named").open(tmp_path)
    ids = data.signature.inputs[0]
    assert (ids.name, ids.dtype, ids.shape) == ("ids", "int64", ("ids_0",))
    assert data.signature.task == "regression" and "ids` has 2 shapes" in data.notes[0]  # type: ignore[attr-defined]
    assert [len(batch) for batch in data.batches(Split.EVALUATION, 4)] == [1] * 6


def test_examples_without_an_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"evaluation: gives more than data\.most_examples=50 examples: let it end"):
        loaded("endless", most_examples=50).open(tmp_path)


def test_a_sequence_that_changes_is_refused_when_it_is_read_again(tmp_path: Path) -> None:
    data = loaded("random_sequence").open(tmp_path)
    with pytest.raises(DataError, match=r"evaluation\[0\]: is another one each time it is read"):
        next(data.batches(Split.EVALUATION, 1))


def test_what_is_in_both_splits_is_an_error_or_dropped(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="5 training examples are in evaluation too"):
        loaded("overlapping").open(tmp_path)
    assert loaded("overlapping", on_overlap="drop").open(tmp_path).count(Split.TRAIN) == COUNT - 5


_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from edgepipe.contract import Split
from edgepipe.data.python import PythonData

def make(count):
    def one(row):
        return np.full((256, 256), row, np.float32), np.full((256, 256), row % 7, np.int64)
    return {"evaluation": (one(row) for row in range(count))}

def opened(count):
    source = PythonData(factory="__main__:make", kwargs={"count": count}, trust_code=True)
    data = source.open(Path(sys.argv[1]))
    return sum(int(batch.labels.sum()) for batch in data.batches(Split.EVALUATION, 4, range(0, count, 9)))

opened(8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
opened(300)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_examples_and_masks_take_no_memory(tmp_path: Path) -> None:
    """75 MB of inputs and 150 MB of labels."""
    run = subprocess.run([sys.executable, "-c", _MEMORY, tmp_path], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 40_000
