"""A folder of .npz files holds examples of different shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepipe.contract import Split
from edgepipe.data.npz import NpzData
from edgepipe.errors import DataError

SIZES = ((4, 6), (4, 6), (8, 6), (8, 6), (8, 6), (4, 6))


def folder(path: Path, seed: int = 0, **more: list[int]) -> Path:
    rng = np.random.default_rng(seed)
    path.mkdir()
    for number, size in enumerate(SIZES):
        own = {name: values[number] for name, values in more.items()}
        np.savez(path / f"{number}.npz", image=rng.standard_normal((3, *size)).astype(np.float32), **own)
    return path


def test_examples_of_one_shape_are_batched_in_their_order(tmp_path: Path) -> None:
    path = folder(tmp_path / "e", labels=[0, 1, 2, 0, 1, 2])
    for _ in range(2):  # the second time from the cache
        source = NpzData(evaluation=path).open(tmp_path / "cache")
        found = list(source.batches(Split.EVALUATION, 2))
        shapes = [batch.only.shape for batch in found]
        assert shapes == [(2, 3, 4, 6), (2, 3, 8, 6), (1, 3, 8, 6), (1, 3, 4, 6)]
        assert [batch.labels.tolist() for batch in found] == [[0, 1], [2, 0], [1], [2]]
    (image,) = source.signature.inputs
    assert (image.name, image.dtype, image.shape) == ("image", "float32", (3, "image_1", 6))
    one = next(source.batches(Split.EVALUATION, 5, [5]))
    assert np.array_equal(one.only[0], np.load(path / "5.npz")["image"])


def test_splits_are_disjoint_by_content(tmp_path: Path) -> None:
    evaluation, other = folder(tmp_path / "e"), folder(tmp_path / "c", 1)
    assert NpzData(evaluation=evaluation, calibration=other).open(tmp_path).count(Split.CALIBRATION) == 6
    (other / "9.npz").write_bytes((evaluation / "0.npz").read_bytes())
    with pytest.raises(DataError, match=r"1 training examples are in evaluation too .* calibration\[6\] = evaluation"):
        NpzData(evaluation=evaluation, calibration=other).open(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": np.zeros((3, 4), np.float32)}, r"7\.npz: `image` is float32 of 2 axes, but float32 of 3 in 0\.npz"),
        ({"image": np.zeros((3, 4, 6))}, r"7\.npz: `image` is float64 of 3 axes, but float32 of 3"),
        ({"picture": np.zeros((3, 4, 6))}, r"7\.npz: no array `image` in it, which 0\.npz has"),
        ({"image": np.full((3, 4, 6), np.nan, np.float32)}, r"7\.npz: image holds NaN"),
        ({"image": np.zeros((3, 4, 6), np.float32), "labels": 1}, r"0\.npz has no `labels`, and others have"),
    ],
)
def test_a_file_unlike_the_others_is_named(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    path = folder(tmp_path / "e")
    np.savez(path / "7.npz", **arrays)
    with pytest.raises(DataError, match=message):
        NpzData(evaluation=path).open(tmp_path / "cache")


def test_a_folder_without_examples_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    with pytest.raises(DataError, match=r"no \.npz file in it"):
        NpzData(evaluation=tmp_path / "e").open(tmp_path)
