"""Pictures kept as bytes: the floats that come out are the decoded ones, to the bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgepipe.contract import Batch, Dataset, Preprocessing, Split
from edgepipe.data import pixels as pixels_module
from edgepipe.data.image_folder import ImageFolderData
from edgepipe.data.npz import NpzData
from edgepipe.data.pixels import Pixels
from edgepipe.passes.train import Train
from edgepipe.training import examples as examples_module
from edgepipe.training.examples import Examples
from tests.passes.workbench import Workbench


@pytest.fixture(params=[(3, None), (1, None), (3, (0.0, 1.0))], ids=["colour", "grey", "one mean"])
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    channels, _ = request.param
    generator = np.random.default_rng(0)
    for split, count in (("train", 300), ("test", 4)):
        for row in range(count):
            folder = tmp_path / split / str(row % 2)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 256, (9, 7, 3), np.uint8)).save(folder / f"{row}.png")
    statistics = {} if request.param[1] is None else {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    settings = ImageFolderData(root=str(tmp_path), image_size=8, channels=channels, calibration_size=4, **statistics)
    return settings.open(tmp_path / "cache")


def test_every_value_comes_back_to_the_bit_and_is_decoded_once(
    pictures: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Pixels.of(pictures, Split.TRAIN, pictures.signature)
    assert kept is not None
    asked: list[int] = []
    source = pictures.batches

    def counted(split: Split, size: int, indices: Sequence[int]) -> Iterator[Batch]:
        asked.extend(indices)
        return source(split, size, indices)

    monkeypatch.setattr(pictures, "batches", counted)
    for order in ([7, 299, 0, 3], [3, 5, 7, 6, 0], [5, 299, 1]):
        found = list(kept.batches(order, 2))
        assert [len(part) for part in found] == [2] * (len(order) // 2) + [1] * (len(order) % 2)
        wanted = np.concatenate([batch.only for batch in source(Split.TRAIN, 64, order)])
        assert found[0].dtype == np.float32
        assert np.array_equal(np.concatenate(found), wanted)
    assert asked == [7, 299, 0, 3, 5, 6, 1]
    assert kept._bytes.itemsize == 1


def test_what_is_too_large_or_no_picture_is_not_kept(
    pictures: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = np.random.default_rng(0).normal(size=(20, 3, 8, 8)).astype(np.float32)
    labels = np.arange(20) % 2
    np.savez(tmp_path / "train.npz", images=inputs, labels=labels)
    np.savez(tmp_path / "test.npz", images=inputs + 1, labels=labels)
    arrays = NpzData(train=tmp_path / "train.npz", evaluation=tmp_path / "test.npz", calibration_size=2).open(
        tmp_path / "cache"
    )
    assert Pixels.of(arrays, Split.TRAIN, arrays.signature) is None
    # An array that says it holds pictures, and holds any floats.
    about = Preprocessing(channels=3, mean=(0.5,) * 3, std=(0.25,) * 3)
    odd = Pixels.of(arrays, Split.TRAIN, arrays.signature.model_copy(update={"preprocessing": about}))
    assert odd is not None
    wanted = next(arrays.batches(Split.TRAIN, 4, [3, 1, 0, 9])).only
    for _ in range(2):
        assert np.array_equal(np.concatenate(list(odd.batches([3, 1, 0, 9], 3))), wanted)
    assert not odd._known.any()
    monkeypatch.setattr(pixels_module, "_MOST_BYTES", 100)
    assert Pixels.of(pictures, Split.TRAIN, pictures.signature) is None


def test_training_is_the_same_whether_pictures_are_kept_or_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Workbench(tmp_path, small=True)
    monkeypatch.setattr(examples_module, "_KEPT_BYTES", 0)
    assert isinstance(Examples(bench.data, bench.data.signature)._kept, Pixels)
    assert Examples(bench.data, bench.data.signature, keep=False)._kept is None
    kept, _ = bench.do(Train(epochs=2, lr=0.05), bench.loaded)
    monkeypatch.setattr(pixels_module, "_MOST_BYTES", 0)
    assert Examples(bench.data, bench.data.signature)._kept is None
    decoded, _ = bench.do(Train(epochs=2, lr=0.05), bench.loaded)
    assert torch.equal(bench.weight(kept), bench.weight(decoded))
    assert kept.digest == decoded.digest
