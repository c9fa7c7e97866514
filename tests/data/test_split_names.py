from __future__ import annotations

import pytest

from edgepipe.data.split_names import choose, family_of, split_of
from edgepipe.errors import DataError


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train2017", "train"),
        ("instances_val2017.json", "val"),
        ("Valid", "val"),
        ("my-testing_set", "test"),
        ("trainval", None),
        ("train_val", None),
        ("retrain", None),
    ],
)
def test_words_say_the_split(name: str, split: str | None) -> None:
    assert family_of(name) == split


def test_the_innermost_folder_counts_and_what_was_asked_for_first() -> None:
    assert split_of("train/val/images/1.png", ()) == "val"
    assert split_of("fold1/images/1.png", ("fold1",)) == "fold1"
    assert split_of("images/test_picture.png", ()) is None


def test_the_first_family_evaluates_and_the_rest_is_told() -> None:
    splits = {f"{split}/{row}": split for split in ("train", "val", "test") for row in range(2)}
    found = choose("w", splits, (), ())
    assert found.train == ("train/0", "train/1") and found.evaluation == ("test/0", "test/1")
    assert found.notes[0].startswith("data.root: val is left out, 2 files: test, train are used")
    both = choose("w", splits, (), ("val", "test"))
    assert len(both.evaluation) == 4 and both.notes == ()


def test_without_splits_all_are_to_be_split_and_a_missing_one_is_named() -> None:
    assert choose("w", {"b": None, "a": None}, (), ()).train == ("a", "b")
    assert choose("w", {"b": None, "a": "val"}, (), ()) == (("b",), ("a",), ())
    assert choose("w", {"a": "val"}, (), ()).train == ()
    with pytest.raises(DataError, match=r"w: data.evaluation=tset: no such split; there are: train"):
        choose("w", {"a": "train"}, (), ("tset",))
