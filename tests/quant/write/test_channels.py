"""Channels a hundred times apart in one tensor, however they came there: what the layer behind them still computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edgepipe.contract import Job
from edgepipe.passes.quantize_aware import QuantizeAware
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.quant.rewrite.prepare import prepare
from tests.quant.test_odd_graphs import Desk, head, node, weight
from tests.quant.write.test_apart import C, branches, numbers, uneven

Network = tuple[list[onnx.NodeProto], list[TensorProto]]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, np.random.default_rng(5).standard_normal((40, 3, 12, 12)))


def constant(name: str, value: object) -> TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def read(small: float, made: Network) -> Network:
    """With a layer behind `c`, of 2 C channels, that weighs the second half by as much more as it is smaller."""
    nodes, stored = made
    mixing = numpy_helper.to_array(weight("mixing", C, 2 * C, 1, 1)).copy()
    mixing[:, C:] /= small**1.5
    last, more = head("d", C)
    return [*nodes, node("Conv", ["c", "mixing"], ["d"], "reader"), *last], [*stored, constant("mixing", mixing), *more]


def half_zero(name: str, small: float, *, first: bool) -> TensorProto:
    """A convolution's weight of which only the first or second half of the channels is not zero."""
    value = numpy_helper.to_array(weight(name, 2 * C, C, 3, 3, scale=small)).copy()
    value[slice(C, None) if first else slice(C)] = 0
    return constant(name, value)


def wide(small: float) -> Network:
    """Both branches with channels of their own, the others zero."""
    nodes, stored = branches(small)
    return nodes, [stored[0], half_zero("wa", 1.0, first=True), half_zero("wb", small, first=False)]


def where(small: float) -> Network:
    nodes, stored = wide(small)
    mask = (np.arange(2 * C) < C).reshape(1, -1, 1, 1)
    return read(small, ([*nodes, node("Where", ["mask", "a", "b"], ["c"], "join")], [*stored, constant("mask", mask)]))


def largest(small: float) -> Network:
    nodes, stored = wide(small)
    return read(small, ([*nodes, node("Max", ["a", "b"], ["c"], "join")], stored))


def added(small: float) -> Network:
    nodes, stored = wide(small)
    return read(small, ([*nodes, node("Add", ["a", "b"], ["c"], "join")], stored))


def padded(small: float) -> Network:
    nodes, stored = branches(small)
    nodes += [
        node("Pad", ["a", "behind"], ["wide_a"], "pad_a"),
        node("Pad", ["b", "before"], ["wide_b"], "pad_b"),
        node("Add", ["wide_a", "wide_b"], ["c"], "join"),
    ]
    return read(small, (nodes, [*stored, numbers("behind", *[0] * 5, C, 0, 0), numbers("before", 0, C, *[0] * 6)]))


def one_layer(small: float) -> Network:
    nodes = [*branches(1.0)[0][:2], node("Conv", ["t", "w"], ["c0"], "join", pads=[1] * 4), node("Relu", ["c0"], ["c"])]
    return read(small, (nodes, [weight("w0", C, 3, 3, 3), uneven(small, "w", 2 * C, C, 3, 3)]))


def behind_a_depthwise_layer(small: float) -> Network:
    nodes, stored = one_layer(small)
    depthwise = [
        node("Conv", ["c", "wd"], ["e0"], "depthwise", group=2 * C, pads=[1] * 4),
        node("Relu", ["e0"], ["e"]),
        node("MaxPool", ["e"], ["p"], "max", kernel_shape=[2, 2]),
    ]
    nodes[4].input[0] = "p"
    return [*nodes[:4], *depthwise, *nodes[4:]], [*stored, weight("wd", 2 * C, 1, 3, 3)]


def behind_a_gate(small: float) -> Network:
    """SiLU."""
    nodes, stored = one_layer(small)
    nodes[3] = node("Sigmoid", ["c0"], ["gate"], "gate")
    return [*nodes[:4], node("Mul", ["c0", "gate"], ["c"], "silu"), *nodes[4:]], stored


def behind_a_scale(small: float) -> Network:
    """A Mul, not the layer, makes the small ones as large as the others."""
    nodes, stored = one_layer(small)
    scales = np.where(np.arange(2 * C) < C, 1, 1 / small).reshape(1, -1, 1, 1).astype(np.float32)
    nodes[4].input[0] = "scaled"
    stored = [weight("mixing", C, 2 * C, 1, 1) if item.name == "mixing" else item for item in stored]
    return [*nodes[:4], node("Mul", ["c", "scales"], ["scaled"], "scale"), *nodes[4:]], [
        *stored,
        constant("scales", scales),
    ]


def products(small: float) -> Network:
    """Words of 12 numbers."""
    nodes = [
        node("Reshape", ["x", "rows"], ["r"]),
        node("MatMul", ["r", "w"], ["c0"], "join"),
        node("Relu", ["c0"], ["c"]),
        node("MatMul", ["c", "v"], ["d"], "reader"),
        node("ReduceMean", ["d"], ["y"], "mean", axes=[1], keepdims=0),
    ]
    mixing = numpy_helper.to_array(weight("v", 4 * C, 10)).copy()
    mixing[2 * C :] /= small**1.5
    return nodes, [numbers("rows", 0, 36, 12), uneven(small, "w", 12, 4 * C, axis=1), constant("v", mixing)]


NETWORKS: list[tuple[Callable[[float], Network], str]] = [
    (where, "Where 'join'"),
    (largest, "Max 'join'"),
    (added, "Add 'join'"),
    (padded, "Add 'join'"),
    (one_layer, "Conv 'join'"),
    (behind_a_depthwise_layer, "Conv 'depthwise'"),
    (behind_a_gate, "Mul 'silu'"),
    (behind_a_scale, "Conv 'join'"),
    (products, "MatMul 'join'"),
]


@pytest.mark.parametrize(("network", "named"), NETWORKS, ids=lambda item: getattr(item, "__name__", ""))
def test_channels_far_apart_stay_float_where_a_layer_lives_on_the_small_ones(
    network: Callable[[float], Network], named: str, desk: Desk
) -> None:
    model = desk.load(*network(0.005))
    done, job = desk.run(model, QuantizeStatic(keep_float="never"))
    assert desk.error(model, done) < 0.025
    assert any(
        str(note).startswith(f"the {named} has channels far apart: ")
        and "'reader'" in str(note)
        and "float" in str(note)
        for note in job.facts["notes"]  # type: ignore[union-attr]
    )
    forced, told = desk.run(model, QuantizeStatic(keep_float="never", far_apart="int8"))
    assert desk.error(model, forced) > 0.1
    assert f"the {named}" in str(told.facts["notes"])
    near = desk.load(*network(0.5))
    one, job = desk.run(near, QuantizeStatic(keep_float="never"))
    other, _ = desk.run(near, QuantizeStatic(keep_float="never", far_apart="int8"))
    assert "notes" not in job.facts
    assert one.onnx.read_bytes() == other.onnx.read_bytes()


def test_features_far_apart_keep_the_first_layer_in_float(tmp_path: Path) -> None:
    desk = Desk(tmp_path, np.random.default_rng(5).standard_normal((40, 32)) * np.repeat([300, 0.5], 16))
    weights = numpy_helper.to_array(weight("w1", 32, 64)) * np.repeat([0.003, 2], 16)[:, np.newaxis]
    nodes = [
        node("Gemm", ["x", "w1"], ["a"], "one"),
        node("Relu", ["a"], ["r"]),
        node("Gemm", ["r", "w2"], ["y"], "two"),
    ]
    model = desk.load(nodes, [constant("w1", weights.astype(np.float32)), weight("w2", 64, 10)])
    done, job = desk.run(model, QuantizeStatic(keep_float="never"))
    assert desk.error(model, done) < 0.025
    assert job.facts["kept_float"] == {"one": "values that are far apart would share one int8 scale"}
    assert "the input 'x' has channels far apart: 16 of 32" in str(job.facts["notes"])


@pytest.mark.parametrize("dead", [False, True])
def test_uneven_and_dead_channels_as_batch_norm_leaves_them_run_in_int8(dead: bool, desk: Desk) -> None:
    drawn = np.random.default_rng(3)
    spans = np.exp(drawn.standard_normal(2 * C)).reshape(-1, 1, 1, 1)
    if dead:
        spans[::4] = 1e-6
    first = numpy_helper.to_array(weight("w", 2 * C, C, 3, 3)) * spans
    last, more = head("e", C)
    nodes = [
        *one_layer(1.0)[0][:4],
        node("Conv", ["c", "wd"], ["d0"], "depthwise", group=2 * C),
        node("Relu", ["d0"], ["d"]),
        node("Conv", ["d", "wp"], ["e"], "reader"),
        *last,
    ]
    scales = np.where(dead & (np.arange(2 * C) % 4 == 0), 300, 1).reshape(-1, 1, 1, 1)
    depthwise = numpy_helper.to_array(weight("wd", 2 * C, 1, 3, 3)) * scales
    stored = [weight("w0", C, 3, 3, 3), constant("w", first.astype("f")), constant("wd", depthwise.astype("f"))]
    model = desk.load(nodes, [*stored, weight("wp", C, 2 * C, 1, 1), *more])
    done, job = desk.run(model, QuantizeStatic(keep_float="never"))
    assert "notes" not in job.facts
    assert {"join", "depthwise", "reader"}.isdisjoint(job.facts["kept_float"])  # type: ignore[arg-type]
    assert desk.error(model, done) < 0.05


def test_int8_training_keeps_channels_that_are_far_apart(desk: Desk) -> None:
    job = Job(desk.folder, desk.folder, desk.data, 0, "it")
    placement = QuantizeAware()._placed(prepare(desk.load(*one_layer(0.005)).onnx, "it"), job)
    assert "c" not in placement.tensors
    assert "Conv 'join'" in str(job.facts["notes"])
