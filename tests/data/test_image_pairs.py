"""Pictures and what they should become, from files or by shrinking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from edgepipe.contract import Split
from edgepipe.data.image_pairs import ImagePairsData
from edgepipe.errors import DataError
from edgepipe.testing import check_data


def folder(root: Path, *, seed: int = 0, kinds: tuple[str, ...] = ("input", "target"), larger: int = 1) -> Path:
    """6 training and 3 evaluation pictures of 8 pixels, each with a target; of one kind: pictures alone."""
    rng = np.random.default_rng(seed)
    for split, count in (("train", 6), ("test", 3)):
        for number in range(count):
            picture = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
            for kind in kinds:
                place = root / split / kind
                place.mkdir(parents=True, exist_ok=True)
                times = larger if kind == "target" else 1
                Image.fromarray(picture.repeat(times, 0).repeat(times, 1)).save(place / f"{number}.png")
    return root


def _data(root: Path | None, **more: object) -> ImagePairsData:
    return ImagePairsData(**{"root": root, "image_size": 8, "calibration_size": 2, "workers": 0, **more})


def test_it_keeps_the_contract(tmp_path: Path) -> None:
    check_data(_data(folder(tmp_path / "one")), changed=_data(folder(tmp_path / "other", seed=1)))
    pictures = [_data(folder(tmp_path / str(s), seed=s, kinds=("x",)), downscale=2, image_size=2) for s in (0, 1)]
    check_data(pictures[0], changed=pictures[1])


def test_targets_may_be_larger_and_are_labels_from_0_to_1(tmp_path: Path) -> None:
    data = _data(folder(tmp_path / "r", larger=3), times_larger=3).open(tmp_path)
    assert data.signature.task == "image"
    batch = next(data.batches(Split.EVALUATION, 3))
    assert batch.labels is not None
    assert batch.labels.dtype == np.float32
    assert np.allclose(batch.labels, batch.only.repeat(3, 2).repeat(3, 3), atol=1e-6)
    assert np.array_equal(batch.labels, data.labels(Split.EVALUATION))


def test_an_input_is_its_target_made_small(tmp_path: Path) -> None:
    root = folder(tmp_path / "r", kinds=("x",))
    whole = _data(root, downscale=2, tiles=False, image_size=4).open(tmp_path)
    assert [whole.count(split) for split in Split] == [6, 2, 3]
    batch = next(whole.batches(Split.EVALUATION, 1))
    assert batch.labels is not None
    large = Image.fromarray((batch.labels[0] * 255).round().astype(np.uint8).transpose(1, 2, 0))
    small = np.asarray(large.resize((4, 4), Image.Resampling.BICUBIC)).transpose(2, 0, 1) / 255
    assert np.allclose(batch.only[0], small, atol=1e-6)


def test_tiles_of_a_picture_stay_in_its_split(tmp_path: Path) -> None:
    data = _data(folder(tmp_path / "r", kinds=("x",)), downscale=2, image_size=2).open(tmp_path)
    assert [data.count(split) for split in Split] == [24, 2, 12]
    names = {split: {name.partition("[")[0] for name in data.names(split)} for split in Split}  # type: ignore[attr-defined]
    assert not names[Split.TRAIN] & names[Split.EVALUATION]
    with pytest.raises(DataError, match="no picture holds a tile of 16x16 pixels"):
        _data(tmp_path / "r", downscale=2, image_size=8).open(tmp_path)


def test_without_a_root_a_photograph_is_cut(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    data = _data(None, downscale=2, image_size=(20, 32), channels=1).open(tmp_path)
    assert data.count(Split.TRAIN) == 10 * 6
    assert data.count(Split.EVALUATION) == 10 * 4
    batch = next(data.batches(Split.TRAIN, 2))
    assert batch.only.shape == (2, 1, 20, 32)
    assert batch.labels is not None
    assert batch.labels.shape == (2, 1, 40, 64)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"root": None}, "set downscale, as in 2, or root"),
        ({"downscale": 2, "times_larger": 2}, "leave it out"),
        ({"downscale": 2, "inputs": "low"}, "leave them out"),
    ],
)
def test_two_ways_at_once_are_refused(settings: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=said):
        _data(**{"root": tmp_path, **settings})  # type: ignore[arg-type]
