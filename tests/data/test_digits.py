from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgepipe.contract import Split
from edgepipe.data.digits import DigitsData, read_digits
from edgepipe.errors import DataError


def test_digits_hold_out_900_and_draw_200_from_train(tmp_path: Path) -> None:
    source = DigitsData().open(tmp_path)
    assert [source.count(split) for split in Split] == [897, 200, 900]
    labels = source.labels(Split.EVALUATION)
    assert labels is not None
    share = np.bincount(labels) / np.bincount(read_digits()[1])
    assert share.tolist() == pytest.approx([900 / 1797] * 10, abs=0.005)
    assert source.signature.classes == tuple("0123456789")


def test_splits_are_disjoint_and_calibration_is_part_of_train(tmp_path: Path) -> None:
    source = DigitsData(image_size=8).open(tmp_path)
    seen = {split: {row.tobytes() for batch in source.batches(split, 256) for row in batch.only} for split in Split}
    assert len(seen[Split.TRAIN] | seen[Split.EVALUATION]) == 1797
    assert seen[Split.CALIBRATION] < seen[Split.TRAIN]


def test_read_digits_agrees_with_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    scans, labels = read_digits()
    expected = datasets.load_digits()
    assert np.array_equal(scans, np.round(expected.images * 255 / 16).astype(np.uint8))
    assert np.array_equal(labels, expected.target)
    assert (scans.min(), scans.max()) == (0, 255)


def test_pictures_are_resized_by_pillow_and_normalized(tmp_path: Path) -> None:
    source = DigitsData(image_size=(16, 24), seed=5).open(tmp_path)
    batch = next(source.batches(Split.TRAIN, 4))
    assert batch.only.shape == (4, 3, 16, 24)
    assert batch.only.dtype == np.float32 and batch.only.flags.c_contiguous
    row = int(source.names(Split.TRAIN)[2][len("digits[") : -1])  # type: ignore[attr-defined]
    grey = Image.fromarray(read_digits()[0][row]).resize((24, 16), Image.Resampling.BILINEAR)
    expected = (np.asarray(grey) / 255 - 0.456) / 0.224
    np.testing.assert_allclose(batch.only[2, 1], expected, atol=1e-6)


def test_the_same_size_is_not_resized(tmp_path: Path) -> None:
    source = DigitsData(image_size=8, channels=1, mean=(0.0,), std=(1.0,)).open(tmp_path)
    batch = next(source.batches(Split.TRAIN, 1, [3]))
    row = int(source.names(Split.TRAIN)[3][len("digits[") : -1])  # type: ignore[attr-defined]
    assert np.array_equal(np.round(batch.only[0, 0] * 255), read_digits()[0][row])


def test_another_seed_gives_another_split_and_the_same_seed_the_same(tmp_path: Path) -> None:
    digests = [DigitsData(seed=seed).open(tmp_path).digest(Split.TRAIN) for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


def test_digest_covers_preprocessing(tmp_path: Path) -> None:
    settings = (DigitsData(), DigitsData(image_size=32), DigitsData(interpolation="nearest"), DigitsData(channels=1))
    assert len({each.open(tmp_path).digest(Split.EVALUATION) for each in settings}) == 4


def test_every_prefix_of_a_split_holds_all_classes_alike(tmp_path: Path) -> None:
    labels = DigitsData().open(tmp_path).labels(Split.EVALUATION)
    assert labels is not None
    assert np.bincount(labels[:200]).tolist() == pytest.approx([20] * 10, abs=1)


def test_more_calibration_than_train_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.calibration_size=898, but there are 897 training pictures"):
        DigitsData(calibration_size=898).open(tmp_path)


def test_batches_follow_indices_and_the_last_is_smaller(tmp_path: Path) -> None:
    source = DigitsData(image_size=8).open(tmp_path)
    whole = np.concatenate([batch.only for batch in source.batches(Split.EVALUATION, 128)])
    some = [700, 3, 3, 899, 0]
    batches = list(source.batches(Split.EVALUATION, 2, some))
    assert [len(batch.only) for batch in batches] == [2, 2, 1]
    assert np.array_equal(np.concatenate([batch.only for batch in batches]), whole[some])
    labels = source.labels(Split.EVALUATION)
    assert labels is not None
    assert [int(label) for batch in batches for label in batch.labels] == labels[some].tolist()
    assert list(source.batches(Split.EVALUATION, 2, [])) == []
