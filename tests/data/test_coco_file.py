"""JSON is untrusted: what is wrong is named with file and key."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from edgepipe.data.coco import CocoData
from edgepipe.data.coco_file import splits_of
from edgepipe.data.listing import Listing
from edgepipe.errors import DataError
from tests.data import boxed

PICTURES = [boxed.Drawn(str(row), b"", (48, 32), [(1, 2, 11, 12, row % 2)]) for row in range(3)]


def read(raw: bytes) -> Any:
    listing = Listing({f"i/{row}.png": str(row) for row in range(3)}, set(), lambda _: raw, others=("a.json",))
    return splits_of("w", listing, CocoData(root="x"))


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    content = boxed.instances(PICTURES)
    change(content)
    return json.dumps(content).encode()


def test_boxes_have_the_place_of_their_category_among_the_ids() -> None:
    found = read(changed(lambda _: None))
    assert found.classes == ("disc", "bar")
    assert found.train["i/1.png"].boxes == [(1, 2, 11, 12, 1, 0)]
    assert found.train["i/0.png"].size == (48, 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("images"), r"a.json: not COCO's instances: lists `images`"),
        (lambda c: c["images"].append(3), r"a.json: images\[3\]: a mapping is wanted, found 3"),
        (lambda c: c["images"][0].pop("file_name"), r"images\[0\].file_name: missing"),
        (lambda c: c["images"][0].update(file_name="../../etc/passwd"), r"images\[0\].file_name: .*no such picture"),
        (lambda c: c["images"][1].update(id=10), r"images\[1\].id: 10 stands twice"),
        (lambda c: c["categories"][1].update(id=7), r"categories\[1\].id: 7 stands twice"),
        (lambda c: c["annotations"][2].update(bbox=[1, 2, 3]), r"annotations\[2\].bbox: \[x, y, width, height\]"),
        (lambda c: c["annotations"][2].update(bbox=[1, 2, "3", 4]), r"annotations\[2\].bbox"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, -3, 4]), r"annotations\[0\].bbox: .* inside out"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 1e300, 4]), r"annotations\[0\].bbox: a box from"),
        (lambda c: c["annotations"][0].update(image_id=99), r"annotations\[0\].image_id: 99 is no image"),
        (lambda c: c["annotations"][0].update(category_id=99), r"annotations\[0\].category_id: 99 is no category"),
        (
            lambda c: c["annotations"][0].update(category_id=True),
            r"annotations\[0\].category_id: missing or of",
        ),
    ],
)
def test_what_lacks_is_named(change: Callable[[dict[str, Any]], object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(changed(change))


@pytest.mark.parametrize("raw", [b"", b"{", b"[1, 2]", b"[" * 100_000, b'{"images": NaN}'])
def test_what_is_no_json_of_instances_is_said(raw: bytes) -> None:
    with pytest.raises(DataError, match=r"a.json: no(t COCO's| readable JSON)"):
        read(raw)
