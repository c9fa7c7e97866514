"""Learned rounding, moments, bias correction, equalization and the choice of ranges, each against what it claims."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgepipe.contract.artifact import Artifact
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.passes.train import Train
from edgepipe.quant.arithmetic.affine import least_scales, weight_parameters
from edgepipe.quant.arithmetic.rounding import learned_rounding, output_error
from edgepipe.quant.calibrate.moments import Geometry, Moments, columns
from edgepipe.quant.rewrite.prepare import prepare
from edgepipe.quant.write.equalize import equalize
from tests.passes.workbench import Workbench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("bench"), small=True)


@pytest.fixture(scope="module")
def model(bench: Workbench) -> Artifact:
    return bench.lowered(bench.do(Train(epochs=4, lr=0.05), bench.loaded)[0])


def network(bench: Workbench, model: Artifact, **settings: object) -> tuple[np.ndarray, dict]:
    small, job = bench.do(QuantizeStatic(**settings), model)
    return bench.onnx_logits(small), job.facts


def correlated(groups: int, length: int) -> np.ndarray:
    drawn = np.random.default_rng(0)
    samples = drawn.standard_normal((groups, 4 * length, length)) @ drawn.standard_normal((groups, length, length))
    return (samples.transpose(0, 2, 1) @ samples / (4 * length)).astype(np.float32)


@pytest.mark.parametrize("pair_safe", [True, False])
@pytest.mark.parametrize(("groups", "channels", "length"), [(1, 8, 150), (6, 1, 9)])
def test_learned_rounding_halves_the_error_and_keeps_pairs_within_sixteen_bits(
    pair_safe: bool, groups: int, channels: int, length: int
) -> None:
    rows = np.random.default_rng(1).standard_normal((groups, channels, length)).astype(np.float32)
    integers, scales = weight_parameters(rows.reshape(-1, length), pair_safe=pair_safe)
    nearest, steps = integers.reshape(rows.shape), scales.reshape(groups, channels)
    moments = correlated(groups, length)
    learned = learned_rounding(rows, steps, nearest, moments, pair_safe=pair_safe)
    before = output_error(rows, nearest, steps, moments).sum()
    after = output_error(rows, learned, steps, moments).sum()
    assert after < (0.5 if length > 100 else 0.9) * before
    assert np.abs(learned.astype(int)).max() <= 127
    if pair_safe:
        for row in learned.reshape(-1, length).astype(int):
            assert max(np.sort(row)[-2:].clip(0).sum(), np.sort(-row)[-2:].clip(0).sum()) <= 128


def test_learned_rounding_takes_inputs_that_never_move_and_moments_short_of_definite() -> None:
    """As of an input that is constant: rank one, and float32 sums leave it a little below."""
    rows = np.random.default_rng(1).standard_normal((1, 4, 30)).astype(np.float32)
    integers, scales = weight_parameters(rows.reshape(4, 30), pair_safe=True)
    nearest, steps = integers.reshape(rows.shape), scales.reshape(1, 4)
    constant, level = np.ones((1, 30, 30)), np.eye(30)
    for moments in (*(constant - below * level for below in (1e-3, 0.02, 2.0)), 1e-12 * constant, 0 * constant):
        moments = moments.astype(np.float32)
        learned = learned_rounding(rows, steps, nearest, moments, pair_safe=True)
        before = output_error(rows, nearest, steps, moments).sum()
        assert np.isfinite(learned).all()
        if moments[0, 0, 0] > 0 or not moments.any():  # else an error is no square
            assert output_error(rows, learned, steps, moments).sum() <= before + 1e-6


def test_learned_rounding_of_unrelated_inputs_is_the_nearest() -> None:
    rows = np.random.default_rng(2).standard_normal((1, 4, 20)).astype(np.float32)
    integers, scales = weight_parameters(rows[0], pair_safe=False, search=False)
    learned = learned_rounding(rows, scales[None], integers[None], np.eye(20, dtype=np.float32)[None], pair_safe=False)
    assert np.array_equal(learned[0], integers)


@pytest.mark.parametrize(
    ("groups", "stride", "dilation", "pads", "auto"),
    [
        (1, 1, 1, (1, 1, 1, 1), "NOTSET"),
        (4, 2, 1, (0, 1, 2, 1), "NOTSET"),
        (2, 1, 2, (2, 2, 2, 2), "NOTSET"),
        (1, 2, 1, (0, 0, 0, 0), "SAME_UPPER"),
        (1, 2, 1, (0, 0, 0, 0), "SAME_LOWER"),
        (1, 1, 1, (0, 0, 0, 0), "VALID"),
    ],
)
def test_columns_times_weights_are_the_runtimes_convolution(
    groups: int, stride: int, dilation: int, pads: tuple[int, ...], auto: str
) -> None:
    import onnxruntime as ort

    drawn = np.random.default_rng(3)
    inputs = drawn.standard_normal((2, 4, 9, 8)).astype(np.float32)
    weight = drawn.standard_normal((8, 4 // groups, 3, 3)).astype(np.float32)
    more = {"pads": list(pads)} if auto == "NOTSET" else {"auto_pad": auto}
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], group=groups, strides=[stride] * 2, dilations=[dilation] * 2, **more
    )
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", 1, inputs.shape)],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    wanted = ort.InferenceSession(file.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": inputs})
    shape = Geometry((3, 3), (stride,) * 2, (dilation,) * 2, pads, groups, auto)
    cut, examples = columns(inputs, shape, 10**9, drawn)
    assert np.array_equal(examples, np.repeat([0, 1], len(examples) // 2))
    got = np.einsum("gmk,grk->mgr", cut, weight.reshape(groups, 8 // groups, -1)).reshape(-1, 8)
    assert np.allclose(got, np.asarray(wanted[0]).transpose(0, 2, 3, 1).reshape(-1, 8), atol=1e-5)


def test_moments_stream_and_match_numpy() -> None:
    drawn = np.random.default_rng(4)
    rows = drawn.uniform(0, 1, (300, 5)).astype(np.float32)
    rows[:, 1:] *= (drawn.uniform(0, 1, (300, 1)) < 0.9) * 0.2
    rows *= np.where(np.arange(300) % 20, 0.2, 1.0)[:, None].astype(np.float32)
    seen = Moments(Geometry(), 1, 5)
    for part in np.split(rows, 3):
        seen.observe(part, np.float32(1 / 255), 0, 10**9, drawn)
    # Each row is an example here: beyond four times the median so far, the more energy it has, the less it counts.
    energies = np.square(rows).mean(axis=1)
    medians = np.repeat([np.median(energies[:end]) for end in (100, 200, 300)], 100)
    weights = medians / np.maximum(energies, 4 * medians)
    assert len(np.unique(weights)) > 6
    assert seen.count == pytest.approx(weights.sum(), rel=1e-5)
    assert np.allclose(seen.mean[0], np.average(rows, axis=0, weights=weights), atol=1e-3)  # of the rounded ones
    assert np.allclose(seen.covariance(centered=True)[0], np.cov(rows.T, aweights=weights, ddof=0), atol=1e-3)


def test_a_blank_example_decides_no_moment() -> None:
    drawn = np.random.default_rng(4)
    rows = drawn.uniform(0.5, 1, (40, 5)).astype(np.float32)
    blank = np.zeros((1, 5), np.float32)
    for typical in (0.0, float(np.square(rows).mean())):
        plain, first, last = (Moments(Geometry(), 1, 5, typical=typical) for _ in range(3))
        for seen, parts in ((plain, rows), (first, [*blank, *rows]), (last, [*rows, *blank])):
            for row in parts:  # in batches of one, where the median of a batch would be the example itself
                seen.observe(row[None], np.float32(1 / 255), 0, 10**9, drawn)
        for seen in (first, last):
            assert np.allclose(seen.mean, plain.mean, rtol=0.03)
            assert np.allclose(seen.covariance(centered=False), plain.covariance(centered=False), rtol=0.03)


def test_columns_of_sequences_know_their_example() -> None:
    rows = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    cut, examples = columns(rows, Geometry(), 4, np.random.default_rng(0))
    assert cut.shape == (1, 4, 4)
    assert np.array_equal(examples, cut[0, :, 0] // 12)


@pytest.mark.parametrize(
    "settings",
    [
        {"rounding": "learned"},
        {"rounding": "learned", "bias_correction": True},
        {"bias_correction": True},
        {"equalize": True},
        {"observer": "least_error"},
        {"preset": "accurate"},
        {"preset": "accurate", "per_channel": False},
    ],
)
def test_no_setting_harms_a_trained_network(bench: Workbench, model: Artifact, settings: dict) -> None:
    wanted = bench.onnx_logits(model)
    plain, _ = network(bench, model, per_channel=settings.get("per_channel", True))
    fitted, facts = network(bench, model, **settings)
    assert facts["chosen"]["rounding"] == ("learned" if "rounding" in settings or "preset" in settings else "nearest")
    # Channels that were even already gain nothing from equalization alone, and tensors are ranged anew after it.
    most = 1.5 if settings == {"equalize": True} else 1.25
    assert np.square(fitted - wanted).mean() < most * np.square(plain - wanted).mean()
    assert (fitted.argmax(1) == wanted.argmax(1)).mean() >= 0.93


def test_learned_rounding_reports_what_it_gained_per_layer(bench: Workbench, model: Artifact) -> None:
    _, facts = network(bench, model, rounding="learned")
    shares = facts["rounding_error_share"]
    assert len(shares) == 4  # three convolutions and the classifier
    assert all(0 < share <= 1 for share in shares.values())
    assert min(shares.values()) < 0.8


def test_equalizing_brings_back_a_network_whose_channels_were_spread(bench: Workbench, model: Artifact) -> None:
    """Channels between two convolutions scaled apart by up to 1,000: the same in float, ruin in int8."""
    spread = prepare(model.onnx, "it")
    first, second = (node for node in spread.graph.node if node.op_type == "Conv" and "block" in node.input[1])
    values = {item.name: item for item in spread.graph.initializer}
    factors = np.logspace(-1.5, 1.5, 48, dtype=np.float32)
    for name, shape, by in (
        (first.input[1], (-1, 1, 1, 1), factors),
        (first.input[2], (-1,), factors),
        (second.input[1], (1, -1, 1, 1), 1 / factors),
    ):
        values[name].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(values[name]) * by.reshape(shape), name))
    job = bench.job()
    onnx.save(spread, job.out / "model.onnx")
    spoiled = job.seal(model.kind, model.signature)
    wanted = bench.onnx_logits(model)
    assert np.allclose(bench.onnx_logits(spoiled), wanted, atol=1e-3)
    far = {"far_apart": "int8"}  # by default the layers would stay float
    errors = {on: np.square(network(bench, spoiled, equalize=on, **far)[0] - wanted).mean() for on in (False, True)}
    assert errors[True] < 0.2 * errors[False]


def test_equalizing_changes_nothing_in_float(bench: Workbench, model: Artifact, tmp_path: Path) -> None:
    from edgepipe.onnx.answers import session_answers

    changed = prepare(model.onnx, "it")
    before = changed.SerializeToString()
    tensors = equalize(changed, bench.data, examples=8, batch_size=8, progress=lambda _share, _text: None)
    assert len(tensors) == 1
    assert changed.SerializeToString() != before
    onnx.save(changed, tmp_path / "equal.onnx")
    assert np.allclose(session_answers(tmp_path / "equal.onnx")(bench.inputs()), bench.onnx_logits(model), atol=1e-3)


def test_a_bias_far_larger_than_its_weights_still_fits_int32() -> None:
    bias = np.array([0.0, 3.0], np.float32)
    least = least_scales(bias, np.float32(1e-3))
    rows = np.full((2, 9), 1e-9, np.float32)
    _, scales = weight_parameters(rows, pair_safe=True, least=least)
    assert (np.abs(bias) / (scales * 1e-3) <= 2**30 * 1.001).all()
    assert scales[0] < 1e-9
