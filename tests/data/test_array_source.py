"""Named arrays of any type, and examples of different shape, become batches by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepipe.contract import Split
from edgepipe.data.npz import NpzData
from edgepipe.errors import DataError

RNG = np.random.default_rng(0)


def tokens(path: Path, count: int = 12, **more: np.ndarray) -> Path:
    ids = RNG.integers(0, 1 << 40, (count, 5))
    np.savez(path, ids=ids, mask=ids % 2 == 0, weight=RNG.standard_normal(count).astype(np.float16), **more)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_arrays_come_back_by_name_in_the_type_they_have(tmp_path: Path, packed: bool) -> None:
    path = tokens(tmp_path / "e.npz")
    with np.load(path) as arrays:
        wanted = dict(arrays)
    if packed:
        np.savez_compressed(path, **wanted)
    for _ in range(2):  # the second time from the cache
        source = NpzData(evaluation=path).open(tmp_path / "cache")
        found = list(source.batches(Split.EVALUATION, 5))
        for name, value in wanted.items():
            got = np.concatenate([batch.inputs[name] for batch in found])
            assert got.dtype == value.dtype
            assert np.array_equal(got, value)
    assert [(item.name, item.dtype, item.shape) for item in source.signature.inputs] == [
        ("ids", "int64", (5,)),
        ("mask", "bool", (5,)),
        ("weight", "float16", ()),
    ]


def test_a_changed_byte_of_any_array_changes_the_digest_and_the_overlap(tmp_path: Path) -> None:
    path = tokens(tmp_path / "e.npz")
    with np.load(path) as arrays:
        content = dict(arrays)
    first = NpzData(evaluation=path).open(tmp_path / "cache")
    with pytest.raises(DataError, match=r"12 .* calibration\[0\] = evaluation\[0\]"):
        NpzData(evaluation=path, calibration=path).open(tmp_path / "cache")
    content["mask"][3, 0] ^= True
    np.savez(tmp_path / "c.npz", **content)
    second = NpzData(evaluation=tmp_path / "c.npz").open(tmp_path / "cache")
    assert first.digest(Split.EVALUATION) != second.digest(Split.EVALUATION)
    dropped = NpzData(evaluation=path, calibration=tmp_path / "c.npz", on_overlap="drop").open(tmp_path / "cache")
    assert dropped.count(Split.CALIBRATION) == 1


def test_which_arrays_are_inputs_and_which_is_right_can_be_said(tmp_path: Path) -> None:
    path = tokens(tmp_path / "e.npz", images=np.zeros((12, 2), np.float32), right=np.arange(12) % 3)
    assert [item.name for item in NpzData(evaluation=path).open(tmp_path).signature.inputs] == ["input"]
    source = NpzData(evaluation=path, inputs=("mask", "ids"), labels="right").open(tmp_path)
    assert [item.name for item in source.signature.inputs] == ["mask", "ids"]
    assert source.labels(Split.EVALUATION).tolist() == [0, 1, 2] * 4
    with pytest.raises(DataError, match=r"data\.inputs names `idz`, which is not in it, only ids, mask, weight, imag"):
        NpzData(evaluation=path, inputs=("idz",)).open(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros((3, 2)), "b": np.zeros((4, 2))}, "`b` has 4 examples, but `a` 3"),
        ({"a": np.zeros((3, 2), complex)}, "`a` is complex128: give numbers that ONNX has"),
        ({"a": np.array([[1.0], [np.inf]])}, r"a\[1\] holds NaN or infinity"),
        ({"labels": np.arange(3)}, "no array `images` in it, only labels: give an array for each input"),
    ],
)
def test_arrays_that_cannot_be_inputs_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "e.npz", **arrays)
    with pytest.raises(DataError, match=message):
        NpzData(evaluation=tmp_path / "e.npz").open(tmp_path)


def test_splits_with_other_names_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", ids=np.zeros((3, 2)))
    np.savez(tmp_path / "c.npz", tokens=np.ones((3, 2)))
    with pytest.raises(DataError, match=r"has the arrays tokens, but data\.evaluation=.* ids: give both the same"):
        NpzData(evaluation=tmp_path / "e.npz", calibration=tmp_path / "c.npz").open(tmp_path)


def test_a_state_and_its_steps_stand_in_the_signature_and_belong_together(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", x=np.zeros((3, 7, 4), np.float32))
    found = NpzData(evaluation=tmp_path / "e.npz", state={"h": "hn"}, steps=7).open(tmp_path).signature
    assert (found.state, found.steps) == ({"h": "hn"}, 7)
    with pytest.raises(ValueError, match="state and steps belong together"):
        NpzData(evaluation=tmp_path / "e.npz", state={"h": "hn"})
