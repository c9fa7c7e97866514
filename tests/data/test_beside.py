from __future__ import annotations

import pytest

from edgepipe.data.beside import by_stem, nearest
from edgepipe.errors import DataError


def test_an_annotation_is_of_the_nearest_picture_of_its_name() -> None:
    able = by_stem(["a/train/images/1.png", "a/val/images/1.png", "b/2.png"])["1"]
    assert nearest("a/train/labels/1.txt", able, "w") == "a/train/images/1.png"
    assert nearest("a/labels/val/1.txt", able, "w") == "a/val/images/1.png"
    assert nearest("x.txt", [], "w") is None
    with pytest.raises(DataError, match=r"w: c/1.xml may belong to a/train/images/1.png or a/val"):
        nearest("c/1.xml", able, "w")
