from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepipe.contract import Split
from edgepipe.data.npz import NpzData
from edgepipe.errors import DataError


def save(path: Path, count: int = 20, seed: int = 0, packed: bool = False, **arrays: Any) -> Path:
    rng = np.random.default_rng(seed)
    content = {"images": rng.normal(size=(count, 3, 4, 4)).astype(np.float32), "labels": np.arange(count) % 5}
    content = {key: value for key, value in {**content, **arrays}.items() if value is not None}
    (np.savez_compressed if packed else np.savez)(path, **content)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_stored_and_compressed_arrays_come_back_bit_for_bit(tmp_path: Path, packed: bool) -> None:
    path = save(tmp_path / "e.npz", packed=packed)
    for _ in range(2):  # the second time from the cache
        source = NpzData(evaluation=path).open(tmp_path / "cache")
        batches = list(source.batches(Split.EVALUATION, 8))
        assert [len(batch.only) for batch in batches] == [8, 8, 4]
        with np.load(path) as arrays:
            assert np.array_equal(np.concatenate([batch.only for batch in batches]), arrays["images"])
            assert np.array_equal(np.concatenate([batch.labels for batch in batches]), arrays["labels"])
    assert source.signature.input_shape == (3, 4, 4)
    assert [source.count(split) for split in Split] == [0, 0, 20]
    assert list(source.batches(Split.TRAIN, 4)) == []


def test_labels_are_optional_and_inputs_is_another_name(tmp_path: Path) -> None:
    path = save(tmp_path / "e.npz", images=None, labels=None, inputs=np.ones((3, 7), np.float32))
    source = NpzData(evaluation=path).open(tmp_path)
    assert source.signature.input_shape == (7,)
    assert source.labels(Split.EVALUATION) is None
    assert next(source.batches(Split.EVALUATION, 2)).labels is None


def test_calibration_is_the_whole_file_or_drawn_by_seed(tmp_path: Path) -> None:
    evaluation, other = save(tmp_path / "e.npz"), save(tmp_path / "c.npz", 30, seed=1)
    assert NpzData(evaluation=evaluation, calibration=other).open(tmp_path).count(Split.CALIBRATION) == 30
    source = NpzData(evaluation=evaluation, train=other, calibration_size=10).open(tmp_path)
    assert [source.count(split) for split in Split] == [30, 10, 20]
    labels = source.labels(Split.CALIBRATION)
    assert labels is not None and np.bincount(labels).tolist() == [2] * 5
    with pytest.raises(DataError, match=r"data\.calibration_size=31, but there are 30"):
        NpzData(evaluation=evaluation, train=other, calibration_size=31).open(tmp_path)


def test_calibration_that_is_in_evaluation_is_refused_or_dropped(tmp_path: Path) -> None:
    evaluation = save(tmp_path / "e.npz")
    with np.load(evaluation) as arrays:
        images = np.concatenate([np.zeros((2, 3, 4, 4), np.float32), arrays["images"][4:6]])
    other = save(tmp_path / "c.npz", images=images, labels=None)
    with pytest.raises(
        DataError, match=r"2 .*: calibration\[2\] = evaluation\[4\]; calibration\[3\] = evaluation\[5\]"
    ):
        NpzData(evaluation=evaluation, calibration=other).open(tmp_path)
    assert (
        NpzData(evaluation=evaluation, calibration=other, on_overlap="drop").open(tmp_path).count(Split.CALIBRATION)
        == 2
    )


NAN = np.zeros((5, 2), np.float32)
NAN[3, 1] = np.nan


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": NAN, "labels": None}, r"images\[3\] holds NaN"),
        ({"images": np.zeros((5, 2)), "labels": None}, r"`images` is float64, not float32: save images\.astype"),
        ({"images": np.zeros(5, np.float32)}, r"shape \(5,\): give \(examples, \.\.\.\)"),
        ({"images": np.zeros((0, 3), np.float32)}, r"shape \(0, 3\)"),
        ({"images": np.asfortranarray(np.zeros((5, 2), np.float32))}, "Fortran order"),
        ({"images": np.array([[{}]], object)}, "holds Python objects"),
        ({"images": None}, "no array `images` in it, only labels"),
        ({"labels": np.array([b"a"] * 20)}, "give classes as integers"),
        ({"labels": np.full(20, np.nan)}, "`labels` hold NaN"),
        ({"labels": np.zeros((20, 2, 2))}, r"give \(20,\) or \(20, values\)"),
        ({"images": np.full((5, 2), 1 << 25)}, r"images\[0\] holds an integer beyond"),
        ({"labels": np.zeros(19, int)}, r"shape \(19,\), but there are 20 examples"),
        ({"labels": np.array([0] * 19 + [-1])}, r"labels\[19\] is -1"),
    ],
)
def test_broken_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = save(tmp_path / "e.npz", **arrays)
    with pytest.raises(DataError, match=message) as caught:
        NpzData(evaluation=path).open(tmp_path)
    assert str(caught.value).startswith(f"data.evaluation={path}: ")


def test_missing_damaged_and_mismatched_files_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "e.npz")
    with pytest.raises(DataError, match="no such file"):
        NpzData(evaluation=tmp_path / "no.npz").open(tmp_path)
    other = save(tmp_path / "c.npz", images=np.zeros((20, 3, 8, 8), np.float32))
    with pytest.raises(DataError, match=r"data\.calibration=.*shape \(3, 8, 8\).*\(3, 4, 4\)"):
        NpzData(evaluation=path, calibration=other).open(tmp_path)
    content = bytearray(path.read_bytes())
    content[400] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not a readable \.npz \(Bad CRC-32|NaN or infinity"):
        NpzData(evaluation=path).open(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_reading_a_large_file_takes_no_more_memory_than_a_batch(tmp_path: Path) -> None:
    images = np.zeros((400, 3, 128, 128), np.float32)  # 79 MB
    images[:, 0, 0, 0] = np.arange(400)
    path = save(tmp_path / "e.npz", images=images, labels=None)
    code = (
        "import resource, sys; from pathlib import Path; from edgepipe.contract import Split; "
        "from edgepipe.data.npz import NpzData; import edgepipe.data.array_source; "
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; before = peak(); "
        "source = NpzData(evaluation=sys.argv[1]).open(Path(sys.argv[2])); "
        "print(sum(len(batch.only) for batch in source.batches(Split.EVALUATION, 8)), peak() - before)"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path)]
    count, grown_kib = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(count) == 400
    assert int(grown_kib) < 20_000


@pytest.mark.parametrize("packed", [False, True])
def test_a_named_array_may_hold_nothing_for_each_example(tmp_path: Path, packed: bool) -> None:
    arrays = {"x": np.arange(12, dtype=np.float32).reshape(4, 3), "past": np.zeros((4, 2, 0, 5), np.float32)}
    (np.savez_compressed if packed else np.savez)(tmp_path / "e.npz", **arrays)  # type: ignore[arg-type]
    data = NpzData(evaluation=tmp_path / "e.npz").open(tmp_path / "cache")
    assert {item.name: item.shape for item in data.signature.inputs} == {"x": (3,), "past": (2, 0, 5)}
    (batch,) = data.batches(Split.EVALUATION, 8)
    assert batch.inputs["past"].shape == (4, 2, 0, 5)
    assert np.array_equal(batch.inputs["x"], arrays["x"])
    np.savez(tmp_path / "none.npz", x=arrays["x"][:0], past=arrays["past"][:0])
    with pytest.raises(DataError, match=r"`x` has shape \(0, 3\)"):
        NpzData(evaluation=tmp_path / "none.npz").open(tmp_path / "cache")
