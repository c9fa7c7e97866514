from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgepipe.contract import Pass
from edgepipe.data.npz import NpzData
from edgepipe.passes.quantize_aware import QuantizeAware
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.quant.exact_sums import _ODD, _off_ties
from tests.passes.test_onnx_passes import really_run
from tests.quant.test_odd_graphs import Desk, node, weight


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


@pytest.mark.parametrize(
    "one",
    [
        QuantizeStatic(keep_float="never"),
        QuantizeAware(epochs=1, lr=1e-3, batch_size=8),
        QuantizeAware(epochs=1, lr=1e-3, batch_size=8, steps_learned=True),
        QuantizeAware(epochs=1, lr=1e-3, batch_size=8, ema=0.5, frozen_share=0),
    ],
    ids=["static", "trained", "learned", "averaged"],
)
def test_added_tensors_have_such_scales_and_a_clip_before_an_addition_stays_within_its_range(
    tmp_path: Path, one: Pass
) -> None:
    """A range a thousandth wider than the Clip would leave the Clip, and the convolution before it, in float."""
    desk = Desk(tmp_path, 6 * np.random.default_rng(0).standard_normal((64, 3, 16, 16)))
    np.savez(tmp_path / "t.npz", images=desk.inputs * np.float32(0.999), labels=np.arange(64) % 10)
    files = {"train": "t", "evaluation": "e", "calibration": "c"}
    desk.data = NpzData(**{split: tmp_path / f"{name}.npz" for split, name in files.items()}).open(tmp_path / "cache")
    bounds = [numpy_helper.from_array(np.float32(value), name) for name, value in (("low", 0.0), ("high", 6.0))]
    same = {"kernel_shape": [3, 3], "pads": [1] * 4}
    nodes = [
        node("Conv", ["x", "w1"], ["a"], **same),
        node("Clip", ["a", "low", "high"], ["c"]),
        node("Conv", ["c", "w2"], ["d"], **same),
        node("Add", ["c", "d"], ["e"]),
        node("Conv", ["e", "w3"], ["f"], **same),
        node("GlobalAveragePool", ["f"], ["g"]),
        node("Flatten", ["g"], ["h"]),
        node("Gemm", ["h", "w4"], ["y"]),
    ]
    stored = [weight("w1", 32, 3, 3, 3), weight("w2", 32, 32, 3, 3), weight("w3", 32, 32, 3, 3), weight("w4", 32, 10)]
    small, _ = desk.run(desk.load(nodes, [*stored, *bounds], opset=17), one)
    operators = really_run(small.onnx, tmp_path)
    assert operators["QLinearConv"] == 3
    assert operators["QLinearAdd"] == 1
    constants = {item.name: numpy_helper.to_array(item) for item in onnx.load(small.onnx).graph.initializer}
    ratios = [float(constants[f"{name}_scale"] / constants["e_scale"]) * _ODD for name in ("c", "d")]
    assert np.abs(np.array(ratios) - np.round(ratios)).max() < 1e-3
