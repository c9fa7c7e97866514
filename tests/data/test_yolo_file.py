"""Lines and YAML are untrusted: what is wrong is named with file and line, or file and key."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.data.listing import Listing
from edgepipe.data.yolo_file import classes_of, described, labelled, pictures_of
from edgepipe.errors import DataError


def listing(**files: str) -> Listing:
    named = {name.replace("__", "/").replace("_t", ".t").replace("_y", ".y"): text for name, text in files.items()}
    return Listing({"images/1.png": "0"}, set(), lambda name: named[name].encode(), others=tuple(named))


def boxes(text: str) -> list:
    return labelled("w", listing(labels__1_txt=text), ["images/1.png"], 3)["images/1.png"].boxes


def test_boxes_and_polygons_become_corners() -> None:
    found = boxes("0 0.5 0.5 0.2 0.4\n\n2 0.1 0.1 0.3 0.1 0.2 0.6\n1.0 0.5 0.5 1 1")
    wanted = [(0.4, 0.3, 0.6, 0.7, 0, 0), (0.1, 0.1, 0.3, 0.6, 2, 0), (0, 0, 1, 1, 1, 0)]
    assert np.allclose(found, wanted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0.5 0.5 0.1 0.1\nx 1 1 1 1", r"labels/1.txt: line 2: 'x 1 1 1 1': numbers are wanted"),
        ("3 0.5 0.5 0.1 0.1", r"line 1: class 3, and there are 3, 0 to 2"),
        ("0.5 0.5 0.5 0.1 0.1", r"line 1: class 0.5"),
        ("0 0.5 0.5 0.1", r"line 1: 4 numbers"),
        ("0 320 240 64 64", r"reaches out of its picture: numbers are shares"),
        ("0 nan 0.5 0.1 0.1", r"reaches out of its picture"),
        ("inf 0.5 0.5 0.1 0.1", r"numbers are wanted"),
    ],
)
def test_lines_of_another_form_are_named(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        boxes(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: 3", "names: a list of class names is wanted"),
        ("names: {1: a, 2: b}", r"names: keys are \[1, 2\], and 0, 1"),
        ("names: [[a]]", "names: a list"),
        ("names: [a\n b: {", "no readable YAML"),
        ("names: " + "[" * 5000, "no readable YAML"),
        ("names: !!python/object/apply:os.system [ls]", "no readable YAML"),
    ],
)
def test_yaml_of_another_form_is_named(text: str, message: str) -> None:
    files = listing(data_yaml=text)
    with pytest.raises(DataError, match=rf"data.yaml: {message}"):
        classes_of("w", files, described("w", files, None))


def test_names_may_be_a_map_and_the_file_may_be_named() -> None:
    files = listing(a_yaml="names: {1: b, 0: a}", b_yaml="names: [x]")
    with pytest.raises(DataError, match=r"several YAML files have `names` \(a.yaml, b.yaml\): say which, data.yaml="):
        described("w", files, None)
    assert classes_of("w", files, described("w", files, "a.yaml")) == ("a", "b")
    with pytest.raises(DataError, match=r"data.yaml=c.yaml: no such file"):
        described("w", files, "c.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [a]\ntrain: nowhere", r"data.yaml: train: nowhere has no pictures"),
        ("names: [a]\ntrain: 3", r"data.yaml: train: a folder or a list"),
        ("names: [a]\ntrain: images\nval: images", r"images/1.png is in `train` and in `val`"),
    ],
)
def test_splits_that_are_not_there_or_share_pictures_are_named(text: str, message: str) -> None:
    files = listing(data_yaml=text)
    with pytest.raises(DataError, match=message):
        pictures_of("w", files, described("w", files, None), (), ())
