"""Structural similarity, held to its formula written out with PyTorch's convolution, and to what it must be."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.tasks.ssim import ssim

DRAWN = np.random.default_rng(0)


def _by_convolution(one: np.ndarray, other: np.ndarray, peak: float) -> float:
    torch = pytest.importorskip("torch")
    steps = torch.arange(11, dtype=torch.float64) - 5
    line = torch.exp(-(steps**2) / (2 * 1.5**2))
    window = (line[:, None] * line[None]) / line.sum() ** 2
    a, b = (torch.from_numpy(each.astype(np.float64))[:, None] for each in (one, other))

    def mean(values: object) -> object:
        return torch.nn.functional.conv2d(values, window[None, None])

    ma, mb = mean(a), mean(b)
    va, vb, both = mean((a - 0) ** 2) - ma**2, mean(b**2) - mb**2, mean(a * b) - ma * mb
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    return float((((2 * ma * mb + c1) * (2 * both + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())


def test_it_is_the_formula_of_the_paper() -> None:
    one = DRAWN.random((3, 24, 31))
    for noise in (0.01, 0.1, 0.5):
        other = np.clip(one + noise * DRAWN.standard_normal(one.shape), 0, 1)
        assert ssim(one, other, 1.0) == pytest.approx(_by_convolution(one, other, 1.0), abs=1e-9)
        assert ssim(255 * one, 255 * other, 255.0) == pytest.approx(ssim(one, other, 1.0), abs=1e-9)


def test_the_same_picture_is_1_another_less_and_a_tiny_one_nothing() -> None:
    one = DRAWN.random((1, 16, 16))
    assert ssim(one, one, 1.0) == pytest.approx(1.0)
    assert ssim(one, 1 - one, 1.0) < 0
    assert np.isnan(ssim(one[:, :10], one[:, :10], 1.0))
