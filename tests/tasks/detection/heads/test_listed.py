"""Lists as torchvision's detectors give them, one picture at a time, from its own post-processing too."""

from __future__ import annotations

import numpy as np

from edgepipe.tasks.detection.heads import About, Choice, chosen, read
from tests.tasks.detection.heads.layouts import check
from tests.tasks.detection.scenes import BOXES, SIZE


def lists(first: int) -> dict[str, np.ndarray]:
    return {
        "boxes": BOXES[..., :4].copy(),
        "labels": BOXES[..., 4].astype(np.int64) + first,
        "scores": BOXES[..., 5].copy(),
    }


def test_labels_count_from_one_unless_it_is_said() -> None:
    check("listed", lists(1))
    check("listed", lists(0), first=0)


def test_shares_of_the_sides_and_other_names_and_order() -> None:
    found = lists(1)
    shares = found["boxes"] / ([SIZE[1], SIZE[0]] * 2)
    check("listed", {"2": found["scores"], "1": found["labels"], "0": shares})


def test_a_picture_with_one_box_and_one_without() -> None:
    one = {name: value[1, :1] for name, value in lists(1).items()}  # the axis of boxes taken for that of examples
    assert chosen(read("listed", one, About(SIZE)), Choice())[0, 0].tolist() == BOXES[1, 0].tolist()
    none = {name: value[:1, :0] for name, value in lists(1).items()}
    assert (chosen(read("listed", none, About(SIZE)), Choice())[..., 4] == -1).all()
