"""The head is YOLOX's: a place a cell, map after map."""

from __future__ import annotations

import pytest
import torch

from edgepipe.torch.small.detector import build


@pytest.mark.parametrize(("height", "width"), [(320, 320), (96, 160), (100, 70), (32, 32)])
def test_a_place_for_each_cell_of_three_maps(height: int, width: int) -> None:
    network = build(3, 4, 4).eval()
    places = sum(-(-height // stride) * -(-width // stride) for stride in (8, 16, 32))
    assert network(torch.zeros(2, 3, height, width)).shape == (2, places, 9)


def test_an_untrained_one_claims_hardly_any_object() -> None:
    with torch.no_grad():
        found = build(3, 4, 4).eval()(torch.zeros(1, 3, 64, 64)).sigmoid()[..., 4:]
    assert float(found.mean()) == pytest.approx(0.01, rel=0.3)


def test_places_of_a_map_follow_its_rows() -> None:
    """What changes in the picture's lower right corner changes the last cells of each map most."""
    network = build(1, 1, 4).eval()
    picture = torch.zeros(1, 1, 64, 64)
    other = picture.clone()
    other[..., 56:, 56:] = 3
    with torch.no_grad():
        change = (network(other) - network(picture)).abs().sum(-1)[0]
    fine = change[:64].reshape(8, 8)
    row, column = divmod(int(fine.argmax()), 8)
    assert min(row, column) >= 5
