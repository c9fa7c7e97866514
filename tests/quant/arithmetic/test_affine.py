"""Affine arithmetic against ONNX Runtime's own operators, bit for bit."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepipe.quant.arithmetic.affine import (
    _two_largest,
    activation_parameters,
    dequantize,
    least_scales,
    quantize,
    safe_scales,
    weight_parameters,
)


def runtime(operator: str, values: np.ndarray, scale: np.float32, zero: np.ndarray) -> np.ndarray:
    kinds = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int8": TensorProto.INT8}
    stored = [numpy_helper.from_array(np.asarray(scale, np.float32), "s"), numpy_helper.from_array(zero, "z")]
    out = zero.dtype.name if operator == "QuantizeLinear" else "float32"
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "s", "z"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", kinds[values.dtype.name], list(values.shape))],
        [helper.make_tensor_value_info("y", kinds[out], list(values.shape))],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": values})[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("seed", range(8))
def test_quantize_and_dequantize_equal_onnx_runtime_bit_for_bit(dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.standard_normal(4099) * 10 ** rng.uniform(-3, 3)).astype(np.float32)
    scale = np.float32(np.abs(values).max() / rng.uniform(50, 300))
    values[:512] = (np.arange(512, dtype=np.float32) - 256 + 0.5) * scale  # ties, both ways of rounding
    zero = np.asarray(rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1), dtype)
    ours = quantize(values, scale, int(zero), dtype)
    assert np.array_equal(ours, runtime("QuantizeLinear", values, scale, zero))
    back = runtime("DequantizeLinear", ours, scale, zero)
    assert np.array_equal(dequantize(ours, scale, int(zero)).view(np.uint32), back.view(np.uint32))


@pytest.mark.parametrize(("low", "high"), [(0.0, 6.0), (-1.0, 3.0), (-2.0, -1.0), (0.5, 4.0), (0.0, 0.0)])
def test_activation_parameters_hold_zero_exactly_and_cover_the_range(low: float, high: float) -> None:
    scale, zero = activation_parameters(low, high)
    ends = np.array([min(low, 0), 0.0, max(high, 0)], np.float32)
    back = dequantize(quantize(ends, scale, zero, np.uint8), scale, zero)
    assert back[1] == 0.0
    assert np.abs(back - ends).max() <= 0.51 * scale + 1e-6


def test_pair_safe_weights_never_sum_beyond_sixteen_bits() -> None:
    rows = np.random.default_rng(0).standard_normal((32, 90)).astype(np.float32)
    rows[3] = 1.0  # the worst: every pair is the largest pair
    integers, scales = weight_parameters(rows, pair_safe=True)
    for row in integers.astype(int):
        positive, negative = np.sort(row)[-2:], np.sort(-row)[-2:]
        assert max(positive.clip(0).sum(), negative.clip(0).sum()) <= 128
    assert np.abs(integers * scales[:, None] - rows).max() < 0.5
    assert (safe_scales(rows) >= np.abs(rows).max(axis=1) / 127 - 1e-9).all()


def test_search_never_has_a_larger_error_than_no_search() -> None:
    rows = np.random.default_rng(1).standard_normal((4, 20_000)).astype(np.float32)
    rows[:, 0] = 8.0  # one weight far out: clipping it a little buys every other one finer steps
    errors = []
    for search in (True, False):
        integers, scales = weight_parameters(rows, pair_safe=False, search=search)
        errors.append(np.square(integers * scales[:, None] - rows).sum(axis=1))
    assert (errors[0] <= errors[1] + 1e-6).all()
    assert errors[0].sum() < 0.95 * errors[1].sum()


def test_a_channel_of_zeros_stays_zero_with_scale_one() -> None:
    integers, scales = weight_parameters(np.zeros((2, 9), np.float32), pair_safe=True)
    assert not integers.any()
    assert scales.tolist() == [1.0, 1.0]


def test_a_channel_of_zeros_keeps_its_bias() -> None:
    """Its scale is the step of its bias: with 1 a bias below half of the input's scale would be rounded away."""
    bias = np.array([0.3, 0.0, -5.0], np.float32)
    integers, scales = weight_parameters(
        np.zeros((3, 9), np.float32), pair_safe=True, least=least_scales(bias, np.float32(1.0))
    )
    assert not integers.any()
    assert np.rint(bias / scales) * scales == pytest.approx(bias, rel=1e-6)
    assert scales[1] == 1.0


@pytest.mark.parametrize("length", [1, 2, 9, 64, 300])
def test_the_two_largest_of_each_row_are_those_of_a_sorted_one(length: int) -> None:
    rows = np.random.default_rng(0).integers(-3, 4, (200, length)).astype(np.float32)  # with ties, and none above 0
    first, second = _two_largest(rows)
    wanted = np.maximum(np.sort(rows, axis=1), 0)
    assert np.array_equal(first, wanted[:, -1])
    assert np.array_equal(second, wanted[:, -2] if length > 1 else 0 * first)
