"""Means of what layers read, against columns cut with numpy; and what the default makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgepipe.onnx.answers import session_answers
from edgepipe.onnx.files import load
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.quant.arithmetic.affine import dequantize, quantize
from edgepipe.quant.calibrate.means import Means, layer_means
from edgepipe.quant.calibrate.moments import columns, geometry
from tests.quant.test_odd_graphs import Desk, node, shaped, weight

INPUTS = np.random.default_rng(5).uniform(-0.4, 1, (24, 4, 11, 12))
SCALE, ZERO = np.float32(0.02), 20


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"), INPUTS)


@pytest.mark.parametrize("opset", [13, 20])
@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [1, 1, 1, 1]},
        {"pads": [0, 1, 2, 1], "strides": [2, 2], "group": 4},
        {"pads": [2, 2, 2, 2], "dilations": [2, 2], "group": 2},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER"},
        {},
    ],
)
def test_means_of_flat_channels_are_those_of_all_columns(tmp_path: Path, attributes: dict, opset: int) -> None:
    levels = np.random.default_rng(5).uniform(-0.4, 1, (24, 4, 1, 1))
    levels[3] *= 8  # an odd one counts less
    rows = np.broadcast_to(levels, (24, 4, 11, 12)).astype(np.float32)
    stored = weight("w", 8, 4 // attributes.get("group", 1), 3, 3)
    conv = node("Conv", ["x", "w"], ["y"], "conv", **attributes)
    outputs = [shaped("y", None, 8, None, None)]
    graph = helper.make_graph([conv], "g", [shaped("x", None, 4, 11, 12)], outputs, [stored])
    found = layer_means(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8),
        {"conv": (conv, stored.dims)},
        {"x": (SCALE, ZERO)},
        Desk(tmp_path, rows[::-1] / np.float32(1.001)).data,  # which calibrates with them as they were
        examples=24,
        batch_size=7,
        progress=lambda _share, _text: None,
    )["conv"]
    cut, examples = columns(rows, geometry(conv, stored.dims), 10**9, np.random.default_rng(0))
    rounded = dequantize(quantize(cut, float(SCALE), ZERO, np.uint8), float(SCALE), ZERO)
    each = np.array([np.square(cut[:, examples == number].mean(axis=1)).mean() for number in range(24)])
    weights = (np.median(each) / np.maximum(each, 4 * np.median(each)))[examples]
    assert len(np.unique(weights)) > 1
    for means, wanted, off in ((found.floats, cut, 1e-4), (found.quantized, rounded, 1e-3)):
        mean = np.average(means, axis=0, weights=found.weights)
        assert np.allclose(mean, np.average(wanted, axis=1, weights=weights), rtol=1e-3, atol=off)


def test_a_mean_error_that_may_be_chance_is_no_error() -> None:
    drawn = np.random.default_rng(0)
    rows = np.eye(3, dtype=np.float32)
    floats = np.zeros((32, 1, 3))
    quantized = np.stack([np.full(32, 0.5), drawn.normal(0, 1, 32), 0.5 + drawn.normal(0, 1, 32)], axis=1)[:, None]
    quantized[:, :, 1] -= quantized[:, :, 1].mean() - 0.1
    found = Means(floats, quantized, np.ones(32)).error(rows, rows)
    assert found[0] == 0.5
    assert found[1] == 0
    assert 0 < found[2] < quantized[:, 0, 2].mean()


def _depthwise() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Convolutions in channels and clips at 6, in turn, with a sequence of products behind them."""
    sixes = [numpy_helper.from_array(np.float32(value), f"at{value}") for value in (0, 6)]
    shapes = {"a": (32, 4, 3, 3), "b": (32, 1, 3, 3), "c": (32, 32, 1, 1), "d": (32, 1, 3, 3), "e": (32, 32, 1, 1)}
    stored, nodes, before = list(sixes), [], "x"
    for name, shape in shapes.items():
        drawn = weight(f"{name}_w", *shape, scale=1.6)
        stored += [drawn, weight(f"{name}_b", 32, scale=0.3)]
        nodes += [
            node(
                "Conv",
                [before, f"{name}_w", f"{name}_b"],
                [f"{name}_y"],
                name,
                pads=[shape[2] // 2] * 4,
                group=32 if shape[1] == 1 else 1,
            ),
            node("Clip", [f"{name}_y", "at0", "at6"], [f"{name}_z"], f"{name}_clip"),
        ]
        before = f"{name}_z"
    stored.append(numpy_helper.from_array(np.array([0, 32, 132]), "to"))
    stored += [weight("f_w", 32, 24, scale=1.0), weight("f_b", 24, scale=0.1)]
    nodes += [
        node("Reshape", [before, "to"], ["r"], "reshape"),
        node("Transpose", ["r"], ["t"], "transpose", perm=[0, 2, 1]),
        node("MatMul", ["t", "f_w"], ["p"], "product"),
        node("Add", ["p", "f_b"], ["y"], "bias"),
    ]
    return nodes, stored


def test_the_default_takes_the_mean_error_back_also_behind_a_product(desk: Desk) -> None:
    model = desk.load(*_depthwise(), outputs=[shaped("y", None, 132, 24)])
    wanted = session_answers(model.onnx)(desk.inputs)
    errors = {}
    for correct in (None, False):
        made, job = desk.run(model, QuantizeStatic(bias_correction=correct, keep_float="never"))
        assert job.facts["chosen"]["bias_correction"] is (correct is None)
        assert "product" in {item.name for item in load(made.onnx).graph.node}
        error = (session_answers(made.onnx)(desk.inputs) - wanted).reshape(-1, 24)
        errors[correct] = np.abs(error.mean(axis=0)).mean(), np.square(error).mean()
    assert errors[None][0] < 0.4 * errors[False][0]  # of each channel, over all places
    assert errors[None][1] < errors[False][1]
