from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from edgepipe.contract import Pass
from edgepipe.contract.artifact import Artifact
from edgepipe.data.npz import NpzData
from edgepipe.passes.quantize_aware import QuantizeAware
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.quant.arithmetic.exact_sums import _ODD, _beside, _nearest
from edgepipe.quant.calibrate.run import calibrate
from edgepipe.quant.place.placement import place
from edgepipe.quant.rewrite.prepare import prepare
from edgepipe.quant.train.simulate import SimulatedNetwork
from tests.passes.test_onnx_passes import really_run
from tests.quant.test_odd_graphs import Desk, head, node, weight


def settled(scale: np.float32, total: np.float32, largest: float = np.inf) -> np.float32:
    near = [np.float32(float(total) * item / _ODD) for item in _beside(float(scale) / float(total) * _ODD)]
    return _nearest(scale, near, largest)


def test_no_sum_of_two_bytes_comes_near_a_tie_and_scales_hardly_grow() -> None:
    draw = np.random.default_rng(0)
    a, b = np.meshgrid(np.arange(256), np.arange(256))
    for _ in range(50):
        one, other, total = draw.uniform(0.01, 0.1, 3).astype(np.float32)
        snapped = [settled(scale, total) for scale in (one, other)]
        for old, new in zip((one, other), snapped, strict=True):
            assert -1e-5 <= new - old <= 1.01 * total / _ODD
        ratios = [np.float32(scale / total) for scale in snapped]
        sums = a * np.float64(ratios[0]) + b * np.float64(ratios[1])
        sums = sums[sums < 512]  # larger ones are clipped, not rounded
        assert np.abs(sums - np.floor(sums) - 0.5).min() > 0.4 / _ODD


def test_a_scale_is_kept_where_it_would_move_far_and_stays_below_its_bound() -> None:
    total = np.float32(0.05)
    for share in (1.3, 0.2, 0.05, 0.01, 0.0005):
        scale = np.float32(share * total)
        assert 1 - 1e-6 <= settled(scale, total) / scale <= 1.02
        assert 0.98 <= settled(scale, total, largest=float(scale)) / scale <= 1
    assert settled(np.float32(0.0005 * total), total) == np.float32(0.0005 * total)


def apart(scale: float, total: float) -> float:
    """Distance of the quotient of two scales, times 1023, from a whole number."""
    value = scale / total * _ODD
    return abs(value - round(value))


def ratios(small: Artifact, *pairs: tuple[str, str]) -> list[float]:
    """`apart` of the scales of each two tensors."""
    constants = {item.name: numpy_helper.to_array(item) for item in onnx.load(small.onnx).graph.initializer}
    return [apart(*(float(constants[f"{name}_scale"]) for name in pair)) for pair in pairs]


def clipped_addition(tmp_path: Path, low: float, high: float) -> tuple[Desk, Artifact]:
    """c = Clip(Conv(x)), e = c + Conv(c), and what reads e."""
    desk = Desk(tmp_path, 6 * np.random.default_rng(0).standard_normal((64, 3, 16, 16)))
    np.savez(tmp_path / "t.npz", images=desk.inputs * np.float32(0.999), labels=np.arange(64) % 10)
    files = {"train": "t", "evaluation": "e", "calibration": "c"}
    desk.data = NpzData(**{split: tmp_path / f"{name}.npz" for split, name in files.items()}).open(tmp_path / "cache")
    bounds = [numpy_helper.from_array(np.float32(value), name) for name, value in (("low", low), ("high", high))]
    end, classifier = head("f", 32)
    same = {"kernel_shape": [3, 3], "pads": [1] * 4}
    nodes = [
        node("Conv", ["x", "w1"], ["a"], **same),
        node("Clip", ["a", "low", "high"], ["c"]),
        node("Conv", ["c", "w2"], ["d"], **same),
        node("Add", ["c", "d"], ["e"]),
        node("Conv", ["e", "w3"], ["f"], **same),
        *end,
    ]
    stored = [weight("w1", 32, 3, 3, 3), weight("w2", 32, 32, 3, 3), weight("w3", 32, 32, 3, 3), *classifier]
    return desk, desk.load(nodes, [*stored, *bounds])


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
    desk, model = clipped_addition(tmp_path, 0.0, 6.0)
    small, _ = desk.run(model, one)
    operators = really_run(small.onnx, tmp_path)
    assert operators["QLinearConv"] == 3
    assert operators["QLinearAdd"] == 1
    assert max(ratios(small, ("c", "e"), ("d", "e"))) < 1e-3


@pytest.mark.parametrize("pooled", [False, True])
def test_both_additions_of_a_shared_summand_are_exact(tmp_path: Path, pooled: bool) -> None:
    desk = Desk(tmp_path, np.random.default_rng(0).standard_normal((64, 3, 16, 16)))
    same = {"kernel_shape": [3, 3], "pads": [1] * 4}
    first = "p" if pooled else "c"
    end, classifier = head("f", 32)
    nodes = [
        node("Conv", ["x", "w1"], ["a"], **same),
        node("Relu", ["a"], ["c"]),
        *([node("MaxPool", ["c"], ["p"], kernel_shape=[3, 3], pads=[1] * 4)] if pooled else []),
        node("Conv", ["c", "w2"], ["d"], **same),
        node("Add", [first, "d"], ["e"]),
        node("Conv", ["e", "w3"], ["k"], **same),
        node("Add", ["c", "k"], ["q"]),
        node("Conv", ["q", "w5"], ["f"], **same),
        *end,
    ]
    stored = [weight("w1", 32, 3, 3, 3), *classifier, *(weight(f"w{i}", 32, 32, 3, 3) for i in (2, 3, 5))]
    small, _ = desk.run(desk.load(nodes, stored), QuantizeStatic(keep_float="never"))
    assert really_run(small.onnx, tmp_path)["QLinearAdd"] == 2
    assert max(ratios(small, (first, "e"), ("d", "e"), ("c", "q"), ("k", "q"))) < 1e-3


@pytest.mark.parametrize("learned", [False, True])
def test_step_sizes_are_settled_when_they_are_frozen_and_stay_so(tmp_path: Path, learned: bool) -> None:
    desk, model = clipped_addition(tmp_path, 0.0, 6.0)
    graph = prepare(model.onnx, "it")
    placement = place(graph, [], "never")
    observers = calibrate(
        graph, placement.tensors, desk.data, batch_size=16, histogram=False, label="it", progress=lambda *_: None
    )
    ranges = {name: observer.range("min_max") for name, observer in observers.items()}
    network = SimulatedNetwork(
        graph, placement, ranges, pair_safe=True, learned=learned, frozen_share=0.5, label="it"
    ).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.1)
    scales, weights = [], []
    for step in range(40):
        network.before_step(step, 40)
        optimizer.zero_grad()
        network(torch.from_numpy(desk.inputs[step % 5 :: 5])).square().mean().backward()
        optimizer.step()
        scales.append({name: scale for name, (scale, _) in network.given_activations().items()})
        weights.append(np.concatenate([scale for _, scale in network.given_weights().values()]))
    assert scales[0] != scales[18]
    assert all(found == scales[20] for found in scales[20:])
    assert all(np.array_equal(found, weights[20]) for found in weights[20:])
    for name in ("c", "d"):
        assert apart(scales[20][name], scales[20]["e"]) < 1e-3


def test_a_learned_step_below_a_bound_that_is_never_reached(tmp_path: Path) -> None:
    """All values are negative: the zero point is 255, and no value lies between it and the bound."""
    desk, model = clipped_addition(tmp_path, -6.0, 0.005)
    _, job = desk.run(model, QuantizeAware(epochs=1, lr=1e-3, batch_size=8, steps_learned=True))
    assert job.facts["parity"]["agreement"] == 1


def test_a_dead_channel_gets_a_step_in_which_its_trained_bias_fits(tmp_path: Path) -> None:
    desk, model = clipped_addition(tmp_path, 0.0, 6.0)
    network = onnx.load(model.onnx)
    dead = next(item for item in network.graph.initializer if item.name == "w3")
    value = numpy_helper.to_array(dead).copy()
    value[5] *= 1e-9
    dead.CopyFrom(numpy_helper.from_array(value, "w3"))
    next(item for item in network.graph.node if "w3" in item.input).input.append("b3")
    bias = np.zeros(32, np.float32)
    bias[5] = 1e-3
    network.graph.initializer.append(numpy_helper.from_array(bias, "b3"))
    onnx.save(network, model.onnx)
    small, job = desk.run(model, QuantizeAware(epochs=1, lr=1.0, batch_size=8, frozen_share=1, teacher_weight=0))
    assert job.facts["parity"]["agreement"] == 1
    constants = {item.name: numpy_helper.to_array(item) for item in onnx.load(small.onnx).graph.initializer}
    stored = [item for name, item in constants.items() if name.endswith("bias_quantized")]
    assert all(np.abs(item.astype(np.float64)).max() < 2**31 - 1 for item in stored)
