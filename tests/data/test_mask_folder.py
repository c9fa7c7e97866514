"""Pictures with masks, from a folder to batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from edgepipe.contract import Split
from edgepipe.data.mask_folder import MaskFolderData
from edgepipe.errors import DataError
from edgepipe.testing import check_data


def folder(root: Path, *, seed: int = 0, values: tuple[int, ...] = (0, 1, 2)) -> Path:
    """8 training and 4 evaluation pictures, 16 wide and 12 high; a pixel's red says its class."""
    rng, masks = np.random.default_rng(7), np.random.default_rng(seed)
    for split, count in (("train", 8), ("test", 4)):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for number in range(count):
            classes = masks.integers(0, len(values), (12, 16))
            picture = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
            Image.fromarray(picture).save(root / split / "images" / f"{number}.png")
            mask = np.array(values, np.uint8)[classes]
            Image.fromarray(mask).save(root / split / "masks" / f"{number}.png")
    return root


def _data(root: Path, **more: object) -> MaskFolderData:
    return MaskFolderData(**{"root": root, "image_size": (12, 16), "calibration_size": 3, "workers": 0, **more})


def test_it_keeps_the_contract(tmp_path: Path) -> None:
    check_data(_data(folder(tmp_path / "r")), changed=_data(folder(tmp_path / "other", seed=1)))


def test_its_signature_names_task_and_classes(tmp_path: Path) -> None:
    data = _data(folder(tmp_path / "r"), classes=["road", "sky", "tree"]).open(tmp_path)
    assert (data.signature.task, data.signature.classes) == ("segmentation", ("road", "sky", "tree"))
    assert [data.count(split) for split in Split] == [8, 3, 4]
    labels = data.labels(Split.EVALUATION)
    assert labels is not None
    assert (labels.dtype, labels.shape) == (np.uint8, (4, 12, 16))


def test_black_and_white_masks_have_to_be_explained(tmp_path: Path) -> None:
    root = folder(tmp_path / "r", values=(0, 255))
    with pytest.raises(DataError, match=r"0 and 255 only.*data\.classes=\{background: 0, object: 255\}"):
        _data(root).open(tmp_path)
    data = _data(root, classes={"background": 0, "object": 255}, ignore_index=None).open(tmp_path)
    assert np.unique(data.labels(Split.EVALUATION)).tolist() == [0, 1]


def test_a_class_may_be_several_values_and_no_value_two_classes(tmp_path: Path) -> None:
    data = _data(folder(tmp_path / "r"), classes={"flat": [0, 2], "sky": 1}).open(tmp_path)
    assert np.unique(data.labels(Split.TRAIN)).tolist() == [0, 1]
    with pytest.raises(ValidationError, match="2 stands for two classes"):
        _data(tmp_path, classes={"flat": [0, 2], "sky": 2})
    with pytest.raises(DataError, match=r"test/masks/\d.png: a mask with 2, which data.classes does not name"):
        _data(tmp_path / "r", classes=["flat", "sky"]).open(tmp_path).labels(Split.EVALUATION)
