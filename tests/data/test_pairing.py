"""Which file is whose label, in the arrangements that people have."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from edgepipe.data.listing import Listing
from edgepipe.data.pairing import MASKS, Asked, pairs_of
from edgepipe.errors import DataError

PLAIN = Asked(None, None, None, None, 0.25, 0, False)


def _listing(*names: str) -> Listing:
    return Listing({n: hashlib.sha256(n.encode()).hexdigest() for n in names}, set(), lambda n: n.encode(), Counter())


def _found(*names: str, **asked: object) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    found = pairs_of("data.root=r", _listing(*names), MASKS, _asked(**asked))
    return (
        list(zip(found.train.names, found.train.label_names, strict=True)),
        list(zip(found.evaluation.names, found.evaluation.label_names, strict=True)),
    )


def _asked(**asked: object) -> Asked:
    return Asked(**{**vars(PLAIN), **asked})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("train", "evaluation"),
    [
        (("train/images/a.jpg", "train/masks/a.png"), ("test/images/b.jpg", "test/masks/b.png")),
        (("images/train/a.jpg", "masks/train/a.png"), ("images/val/b.jpg", "masks/val/b.png")),
        (("x/train_images/a.jpg", "x/train_masks/a.png"), ("x/val_images/b.jpg", "x/val_masks/b.png")),
        (("train/a.png", "trainannot/a.png"), ("val/b.png", "valannot/b.png")),
        (("train/a.jpg", "train/a_mask.png"), ("test/b.jpg", "test/b_mask.png")),
        (
            ("leftImg8bit/train/bern/a_leftImg8bit.png", "gtFine/train/bern/a_gtFine_labelIds.png"),
            ("leftImg8bit/val/ulm/b_leftImg8bit.png", "gtFine/val/ulm/b_gtFine_labelIds.png"),
        ),
        (("Train/Image/1/a.tif", "Train/Label/1/a.tif"), ("Test/Image/1/a.tif", "Test/Label/1/a.tif")),
    ],
)
def test_the_usual_arrangements(train: tuple[str, str], evaluation: tuple[str, str]) -> None:
    assert _found(*train, *evaluation) == ([train], [evaluation])


def test_without_splits_a_share_is_held_out_by_content() -> None:
    names = [f"{folder}/{i}.png" for i in range(8) for folder in ("JPEGImages", "SegmentationClass")]
    train, evaluation = _found(*names)
    assert (len(train), len(evaluation)) == (6, 2)
    assert all(one.rpartition("/")[2] == other.rpartition("/")[2] for one, other in train + evaluation)
    assert _found(*names) == (train, evaluation)
    assert _found(*names, seed=1) != (train, evaluation)


def test_test_comes_before_val_and_others_can_be_named() -> None:
    names = [f"{split}/{kind}/{split}.png" for split in ("train", "val", "test") for kind in ("images", "masks")]
    assert [one for one, _ in _found(*names)[1]] == ["test/images/test.png"]
    assert [one for one, _ in _found(*names, evaluation=("val",))[1]] == ["val/images/val.png"]
    both = _found(*names, evaluation=("val", "test"))[1]
    assert {one for one, _ in both} == {"test/images/test.png", "val/images/val.png"}
    with pytest.raises(DataError, match=r"data\.evaluation=exam: no such folder with pairs; there are: test, train, v"):
        _found(*names, evaluation=("exam",))


def test_folders_of_any_name_can_be_named() -> None:
    names = [f"{split}/{kind}/{split}.png" for split in ("learn", "exam") for kind in ("views", "truths")]
    asked = {"inputs": "views", "labels": "truths", "train": "learn", "evaluation": ("exam",)}
    train, evaluation = _found(*names, **asked)
    assert train == [("learn/views/learn.png", "learn/truths/learn.png")]
    assert len(evaluation) == 1


def test_a_picture_without_a_mask_is_named_and_may_be_left_out() -> None:
    names = ["train/images/a.jpg", "train/masks/a.png", "train/images/b.jpg", "test/images/c.jpg", "test/masks/c.png"]
    with pytest.raises(DataError, match=r"1 without a mask of their name \(train/images/b.jpg\).*on_unpaired=drop"):
        _found(*names)
    assert len(_found(*names, drop=True)[0]) == 1
    with pytest.raises(DataError, match=r"1 without a picture of their name \(train/masks/d.png\)"):
        _found(*names[:2], *names[3:], "train/masks/d.png")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "no pictures in it"),
        (("images/a.jpg", "images/b.jpg"), "no masks: no folder `masks` or the like"),
        (("images/a.jpg", "masks/b.png"), "no picture has a mask of its name"),
        (("images/a.jpg", "images/a.png", "masks/a.png"), "are two of one name"),
    ],
)
def test_what_cannot_be_paired_is_told(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(DataError, match=said):
        _found(*names)
