from __future__ import annotations

import numpy as np

from edgepipe.quant.exact_sums import _ODD, _off_ties


def test_no_sum_of_two_bytes_comes_near_a_tie_and_scales_hardly_grow() -> None:
    draw = np.random.default_rng(0)
    a, b = np.meshgrid(np.arange(256), np.arange(256))
    for _ in range(50):
        one, other, total = draw.uniform(0.01, 0.1, 3).astype(np.float32)
        snapped = [_off_ties(scale, total) for scale in (one, other)]
        for old, new in zip((one, other), snapped, strict=True):
            assert -1e-5 <= new - old <= 1.01 * total / _ODD
        ratios = [np.float32(scale / total) for scale in snapped]
        sums = a * np.float64(ratios[0]) + b * np.float64(ratios[1])
        sums = sums[sums < 512]  # larger ones are clipped, not rounded
        assert np.abs(sums - np.floor(sums) - 0.5).min() > 0.4 / _ODD
