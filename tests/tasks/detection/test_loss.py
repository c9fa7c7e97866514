"""Places are given to the objects that they answer, and a network that is trained so finds them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from edgepipe.errors import DataError, ModelError
from edgepipe.tasks.detection.heads import yolox
from edgepipe.tasks.detection.heads.boxes import About
from edgepipe.tasks.detection.loss import _grid, assigned, with_size, yolox_loss
from edgepipe.torch.small.detector import build

SIZE = (64, 96)
BOXES = np.array([[[10, 8, 34, 32, 1, 0], [60, 20, 92, 60, 0, 0], [0, 0, 0, 0, -1, 0]]], np.float32)


def _right(boxes: np.ndarray) -> torch.Tensor:
    """A head that answers every object at the place of its middle, and nothing else."""
    raw = torch.zeros(1, 8 * 12 + 4 * 6 + 2 * 3, 7)
    raw[..., 4:] = -8.0
    for x1, y1, x2, y2, kind, _ in boxes[boxes[:, 4] >= 0]:
        x, y = (x1 + x2) / 16, (y1 + y2) / 16
        place = int(y) * 12 + int(x)
        raw[0, place, :2] = torch.tensor([x - int(x), y - int(y)])
        raw[0, place, 2:4] = torch.tensor([math.log((x2 - x1) / 8), math.log((y2 - y1) / 8)])
        raw[0, place, 4], raw[0, place, 5 + int(kind)] = 8.0, 8.0
    return raw


def test_the_grid_is_that_of_the_decoder() -> None:
    raw = _right(BOXES[0])
    found = yolox.decode({"out": raw.numpy()}, About(SIZE, 2))
    best = np.argsort(-found.scores.max(-1)[0])[:2]
    assert np.allclose(sorted(found.boxes[0, best].tolist()), sorted(BOXES[0, :2, :4].tolist()), atol=1e-3)


def test_a_place_that_answers_an_object_is_given_to_it() -> None:
    raw, wanted = _right(BOXES[0]), torch.from_numpy(BOXES[0, :2])
    grid = _grid(raw, *SIZE)
    boxes = torch.cat([(raw[..., :2] + grid.corners) * grid.strides, raw[..., 2:4].exp() * grid.strides], -1)
    places, objects, overlaps = assigned(boxes[0], raw[0], wanted, grid)
    for number in range(2):
        mine = places[objects == number]
        assert len(mine) >= 1
        assert overlaps[objects == number].max() == pytest.approx(1.0, abs=1e-4)
    assert len(set(places.tolist())) == len(places)  # no place has two objects


def test_right_answers_cost_less_than_others() -> None:
    targets = torch.from_numpy(with_size(BOXES, SIZE))
    right = _right(BOXES[0])
    other = right.clone()
    other[..., :2] += 1.5
    mixed = right.clone()
    mixed[..., 5:] = right[..., [6, 5]]
    best = float(yolox_loss(right, targets))
    assert best < 0.7 * float(yolox_loss(other, targets))
    assert best < 0.9 * float(yolox_loss(mixed, targets))
    assert best < 0.2 * float(yolox_loss(torch.zeros_like(right), targets))


def test_a_picture_without_objects_teaches_silence_and_ignored_ones_nothing() -> None:
    none, raw = np.full((1, 1, 6), -1, np.float32), torch.zeros(1, 126, 7)
    silent = float(yolox_loss(raw, torch.from_numpy(with_size(none, SIZE))))
    assert silent == pytest.approx(126 * math.log(2), rel=1e-4)
    ignored = np.array([[[0, 0, 96, 64, 0, 1]]], np.float32)
    assert float(yolox_loss(raw, torch.from_numpy(with_size(ignored, SIZE)))) == 0.0


def test_a_wild_network_has_a_finite_loss_and_gradient() -> None:
    raw = (50 * torch.randn(1, 126, 7)).requires_grad_()
    loss = yolox_loss(raw, torch.from_numpy(with_size(BOXES, SIZE)))
    loss.backward()
    assert raw.grad is not None
    assert bool(loss.isfinite())
    assert bool(raw.grad.isfinite().all())


def test_what_it_cannot_train_is_refused() -> None:
    targets = torch.from_numpy(with_size(BOXES, SIZE))
    with pytest.raises(ModelError, match=r"a head \(n, places, 5 \+ classes\).*model=small"):
        yolox_loss(torch.zeros(1, 100, 7), targets)
    with pytest.raises(DataError, match="a box is of class 1, and the network has 1"):
        yolox_loss(torch.zeros(1, 126, 6), targets)


def test_a_detector_learns_two_boxes_by_heart() -> None:
    torch.manual_seed(0)
    network = build(1, 2, 4).train()
    pictures = torch.zeros(1, 1, *SIZE)
    for x1, y1, x2, y2, kind, _ in BOXES[0, :2].astype(int):
        pictures[0, 0, y1:y2, x1:x2] = 1.0 + kind
    targets = torch.from_numpy(with_size(BOXES, SIZE)).repeat(2, 1, 1)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-3)
    for _ in range(120):
        optimizer.zero_grad()
        loss = yolox_loss(network(pictures.repeat(2, 1, 1, 1)), targets)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = yolox.decode({"out": network(pictures).numpy()}, About(SIZE, 2))
    for box, kind in zip(BOXES[0, :2, :4], (1, 0), strict=True):
        best = found.boxes[0, int(found.scores[0, :, kind].argmax())]
        assert np.abs(best - box).max() < 4
