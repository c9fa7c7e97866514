"""Suppression as torchvision's, activations, grids."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.tasks.detection.heads import Choice, chosen
from edgepipe.tasks.detection.heads.boxes import About, Found, cells, grid, probabilities, suppress
from tests.tasks.detection.scenes import SIZE, centres, logit


@pytest.mark.parametrize("seed", range(5))
def test_suppression_is_torchvisions(seed: int) -> None:
    torch = pytest.importorskip("torch")
    ops = pytest.importorskip("torchvision.ops")
    draw = np.random.default_rng(seed)
    corner = draw.uniform(-20, 200, (300, 2))
    boxes = np.concatenate([corner, corner + draw.uniform(1, 90, (300, 2))], 1).astype(np.float32)
    scores, labels = draw.random(300).astype(np.float32), draw.integers(0, 4, 300)
    wanted = ops.batched_nms(*(torch.from_numpy(each) for each in (boxes, scores, labels)), 0.5).numpy()
    assert suppress(boxes, scores, labels, 0.5, 300).tolist() == wanted.tolist()
    assert suppress(boxes, scores, labels, 0.5, 7).tolist() == wanted[:7].tolist()
    assert suppress(boxes[:0], scores[:0], labels[:0], 0.5, 7).tolist() == []


def test_the_grid_goes_row_by_row_and_map_by_map() -> None:
    corners, steps = grid(About(SIZE), (8, 16, 32))
    middles, strides = centres()
    assert np.allclose((corners + 0.5) * steps, middles)
    assert np.array_equal(steps[:, 0], strides)
    assert cells(About(SIZE), len(middles)) == (8, 16, 32)
    assert cells(About(SIZE), 3 * len(middles), 3) == (8, 16, 32)
    assert cells(About(SIZE), len(middles) + 1) == ()
    assert cells(About((97, 128)), 13 * 16 + 7 * 8 + 4 * 4) == (8, 16, 32)
    assert cells(About(SIZE, strides=(16,)), 48) == (16,)


def test_scores_are_taken_for_logits_where_they_leave_0_to_1() -> None:
    shares = np.random.default_rng(0).random((2, 50, 3)).astype(np.float32)
    raw = logit(shares).astype(np.float32)
    assert np.array_equal(probabilities(shares, "auto"), shares)
    assert np.allclose(probabilities(raw, "auto"), shares, atol=1e-5)
    assert np.allclose(probabilities(shares / 3, "softmax").sum(-1), 1)
    assert np.all(np.isfinite(probabilities(np.float32([[-1e4, 1e4]]), "logits")))


def test_boxes_without_sides_nan_and_unknown_classes_are_left_out() -> None:
    boxes = np.array([[[0, 0, 9, 9], [5, 5, 5, 9], [np.nan, 0, 9, 9], [0, 0, 9, 9.5]]], np.float32)
    scores = np.array([[0.9, 0.8, 0.7, 0.6]], np.float32)
    found = Found(boxes, scores, np.array([[7, 7, 7, 3]]), suppressed=True)
    rows = chosen(found, Choice(labels=(5, 7), most=3))
    assert rows.shape == (1, 3, 6)
    assert rows[0, 0].tolist() == [0, 0, 9, 9, 1, np.float32(0.9)]
    assert rows[0, 1:, 4].tolist() == [-1, -1]
    assert chosen(found, Choice(first=3))[0, :2, 4].tolist() == [4, 0]


def test_thousands_of_places_take_milliseconds() -> None:
    import time

    draw = np.random.default_rng(0)
    corner = draw.uniform(0, 600, (1, 8400, 2))
    boxes = np.concatenate([corner, corner + draw.uniform(5, 200, (1, 8400, 2))], -1).astype(np.float32)
    found = Found(boxes, (draw.random((1, 8400, 80)) ** 4).astype(np.float32))
    began = time.perf_counter()
    assert (chosen(found, Choice())[0, :, 4] >= 0).all()
    assert time.perf_counter() - began < 1
