"""Labels follow their pictures."""

from __future__ import annotations

import pytest

from edgepipe.contract import Moves
from edgepipe.tasks.moving import moved_boxes, moved_pixels

torch = pytest.importorskip("torch")


def _moves(down: int, right: int, mirrored: bool, size: tuple[int, int]) -> Moves:
    return Moves(torch.tensor([down]), torch.tensor([right]), torch.tensor([mirrored]), *size)


def _boxed(mask: torch.Tensor) -> list[int]:
    rows, columns = torch.nonzero(mask, as_tuple=True)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -1), (-3, 2)])
def test_a_box_stays_around_its_pixels(down: int, right: int, mirrored: bool) -> None:
    mask = torch.zeros(1, 12, 16, dtype=torch.uint8)
    mask[0, 4:7, 3:9] = 1
    boxes = torch.tensor([[[3.0, 4.0, 9.0, 7.0, 2.0, 0.0], [0, 0, 0, 0, -1, 0]]])
    moves = _moves(down, right, mirrored, (12, 16))
    found = moved_boxes(boxes, moves)
    assert found[0, 0, :4].tolist() == _boxed(moved_pixels(mask, moves)[0])
    assert found[0, :, 4].tolist() == [2.0, -1.0]


def test_a_picture_twice_as_large_moves_twice_as_far() -> None:
    small, large = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 16, 16)
    small[0, 0, 3, 3], large[0, 0, 6:8, 6:8] = 1, 1
    moves = _moves(1, -2, True, (8, 8))
    wanted = moved_pixels(small, moves).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(moved_pixels(large, moves), wanted)


def test_a_box_that_left_the_frame_is_none() -> None:
    boxes = torch.tensor([[[10.0, 1.0, 16.0, 5.0, 0.0, 0.0]]])
    assert moved_boxes(boxes, _moves(0, 8, False, (12, 16)))[0, 0, 4] == -1
    said = torch.tensor([[[0.0, 0.0, 16.0, 12.0, -2.0, 0.0]]])
    assert torch.equal(moved_boxes(said, _moves(3, 8, True, (12, 16))), said)
    cut = moved_boxes(boxes, _moves(0, 3, False, (12, 16)))[0, 0]
    assert cut.tolist() == [13.0, 1.0, 16.0, 5.0, 0.0, 0.0]
