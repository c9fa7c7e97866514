"""Recurrent layers: LSTM in int8 by dynamic quantization, GRU and RNN stored so, and what static quantization says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepipe.errors import PassError
from edgepipe.passes.quantize_dynamic import QuantizeDynamic
from edgepipe.passes.quantize_static import QuantizeStatic
from tests.measure.test_audit import run
from tests.quant.test_odd_graphs import Desk, node, shaped, weight

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
HIDDEN = 64


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, np.random.default_rng(5).standard_normal((12, 8, 16)))


def recurrent(kind: str, directions: int = 1, layers: int = 1) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """As exporters write it for any batch: weights joined from pieces, a state of zeros made from the input's shape."""
    nodes, stored = [node("Transpose", ["x"], ["h0"], "steps", perm=[1, 0, 2])], []
    for number in range(layers):
        reads = 16 if number == 0 else HIDDEN * directions
        for name, columns in (("W", reads), ("R", HIDDEN)):
            pieces = [f"{name}{number}_{gate}" for gate in range(GATES[kind])]
            stored += [weight(piece, directions, HIDDEN, columns, scale=4) for piece in pieces]
            nodes.append(node("Concat", pieces, [f"{name}{number}"], axis=1))
        nodes += [
            node("Shape", [f"h{number}"], [f"shape{number}"]),
            node("Slice", [f"shape{number}", "one", "two"], [f"batch{number}"]),
            node("Concat", ["directions", f"batch{number}", "hidden"], [f"of_state{number}"], axis=0),
            node("ConstantOfShape", [f"of_state{number}"], [f"state{number}"]),
            node(
                kind,
                [f"h{number}", f"W{number}", f"R{number}", f"B{number}", "", f"state{number}"],
                [f"steps{number}"],
                f"{kind.lower()}{number}",
                hidden_size=HIDDEN,
                direction="bidirectional" if directions == 2 else "forward",
            ),
            node("Transpose", [f"steps{number}"], [f"moved{number}"], perm=[0, 2, 1, 3]),
            node("Reshape", [f"moved{number}", "flat"], [f"h{number + 1}"]),
        ]
        stored.append(weight(f"B{number}", directions, 2 * GATES[kind] * HIDDEN, scale=0.1))
    nodes += [node("ReduceMean", [f"h{layers}"], ["mean"], axes=[0], keepdims=0)]
    nodes += [node("MatMul", ["mean", "fc"], ["y"], "fc")]
    stored += [
        weight("fc", HIDDEN * directions, 10),
        *(
            numpy_helper.from_array(np.array(value, np.int64), name)
            for name, value in (
                ("one", [1]),
                ("two", [2]),
                ("directions", [directions]),
                ("hidden", [HIDDEN]),
                ("flat", [8, -1, HIDDEN * directions]),
            )
        ),
    ]
    return nodes, stored


@pytest.mark.parametrize(("directions", "layers"), [(1, 1), (2, 2)])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_dynamic_quantization_takes_recurrent_layers(desk: Desk, kind: str, directions: int, layers: int) -> None:
    model = desk.load(*recurrent(kind, directions, layers))
    small, job = desk.run(model, QuantizeDynamic())
    assert desk.error(model, small) < 0.05
    assert small.onnx.stat().st_size < (0.5 if kind == "RNN" else 0.36) * model.onnx.stat().st_size
    found, share = run(small.onnx, 8, 16)
    layers_of = [layer for layer in found.layers if layer.name != "fc"]
    assert sum(layer.int8 for layer in layers_of) == (layers if kind == "LSTM" else 0)
    assert all(layer.weight_bytes for layer in layers_of)
    assert (share.layers == 1) == (kind == "LSTM")
    assert ("notes" in job.facts) == (kind != "LSTM")


def test_what_is_excluded_stays_float(desk: Desk) -> None:
    for kind in ("LSTM", "GRU"):
        model = desk.load(*recurrent(kind))
        small, _ = desk.run(model, QuantizeDynamic(exclude=[f"{kind.lower()}0"]))
        weights = {item.name: item.data_type for item in onnx.load(small.onnx).graph.initializer}
        (layer,) = [item for item in onnx.load(small.onnx).graph.node if item.name == f"{kind.lower()}0"]
        assert layer.op_type == kind
        assert {weights[name] for name in layer.input[1:3]} == {TensorProto.FLOAT}


def test_two_layers_that_share_their_weights_are_both_taken(desk: Desk) -> None:
    nodes, stored = recurrent("LSTM", 1, 1)
    again = onnx.NodeProto()
    again.CopyFrom(next(item for item in nodes if item.op_type == "LSTM"))
    again.name, again.input[0], again.output[0] = "twin", "turned", "steps_of_twin"
    nodes += [
        node("Neg", ["h0"], ["turned"]),
        again,
        node("Add", ["steps0", "steps_of_twin"], ["both"]),
    ]
    next(item for item in nodes if item.output[0] == "moved0").input[0] = "both"
    order = [item for item in nodes if item.name in ("twin",) or item.output[0] in ("turned", "both")]
    rest = [item for item in nodes if item not in order]
    place = next(index for index, item in enumerate(rest) if item.output[0] == "moved0")
    model = desk.load([*rest[:place], *order, *rest[place:]], stored)
    small, job = desk.run(model, QuantizeDynamic())
    assert job.facts["int8_nodes"] == 3
    assert desk.error(model, small) < 0.05


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_static_quantization_leaves_them_float_and_says_what_takes_them(desk: Desk, kind: str) -> None:
    nodes, stored = recurrent(kind)
    model = desk.load(nodes, stored)
    alike, job = desk.run(model, QuantizeStatic(exclude=["fc"], keep_float="never"))
    assert "quantize_dynamic in its place" in str(job.facts["notes"])
    assert "nothing is quantized, the model stays float" in str(job.facts["notes"])
    assert alike.onnx.read_bytes() == model.onnx.read_bytes()
    _, job = desk.run(model, QuantizeStatic())
    assert f"{kind} stay float here" in str(job.facts["notes"])


def test_a_recurrent_weight_that_is_no_number_is_refused(desk: Desk) -> None:
    nodes, stored = recurrent("GRU")
    broken = numpy_helper.to_array(stored[0]).copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(PassError, match="holds NaN or infinity"):
        desk.run(desk.load(nodes, [numpy_helper.from_array(broken, stored[0].name), *stored[1:]]), QuantizeDynamic())


@pytest.mark.parametrize("handed", [False, True])
def test_weights_inside_a_loop_are_stored_as_int8(desk: Desk, handed: bool) -> None:
    """A GRU of Keras is a Loop; its weights are read from outside, or handed from one step to the next."""
    body = helper.make_graph(
        [
            node("Identity", ["going"], ["on"]),
            node("Gather", ["x", "step"], ["now"], axis=1),
            node("MatMul", ["now", "wx"], ["a"]),
            node("MatMul", ["state", "held" if handed else "ws"], ["b"]),
            node("Add", ["a", "b"], ["c"]),
            node("Tanh", ["c"], ["next"]),
            *([node("Identity", ["held"], ["kept"])] if handed else []),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            shaped("state", None, HIDDEN),
            *([shaped("held", HIDDEN, HIDDEN)] if handed else []),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            shaped("next", None, HIDDEN),
            *([shaped("kept", HIDDEN, HIDDEN)] if handed else []),
        ],
        [weight("wx", 16, HIDDEN)],
    )
    nodes = [
        node("Gather", ["x", "first"], ["zeroth"], axis=1),
        node("MatMul", ["zeroth", "w0"], ["start"], "begin"),
        node(
            "Loop",
            ["steps", "true", "start", *(["ws"] if handed else [])],
            ["end", *(["unused"] if handed else [])],
            "loop",
            body=body,
        ),
        node("MatMul", ["end", "fc"], ["y"], "fc"),
    ]
    constants = {"first": np.int64(0), "steps": np.int64(8), "true": np.bool_(True)}
    stored = [weight("w0", 16, HIDDEN), weight("ws", HIDDEN, HIDDEN), weight("fc", HIDDEN, 10)]
    stored += [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()]
    model = desk.load(nodes, stored)
    small, job = desk.run(model, QuantizeDynamic())
    assert desk.error(model, small) < 0.05
    assert small.onnx.stat().st_size < 0.5 * model.onnx.stat().st_size
    assert "stored as int8" in str(job.facts["notes"])
    found, share = run(small.onnx, 8, 16)
    assert {layer.int8 for layer in found.layers} == {True, False}
    assert share.layers is None or share.layers < 1


def test_convolutions_inside_the_branches_of_an_if_are_stored_as_int8(desk: Desk) -> None:
    """As of a network for each of two rates of sound, whose weights are constants of its branch."""

    def branch(name: str) -> onnx.GraphProto:
        stored = [weight(f"{name}_w", 64, 8, 3), weight(f"{name}_v", 10, 64, 14)]
        constants = [node("Constant", [], [item.name], value=item) for item in stored]
        nodes = [
            *constants,
            node("Conv", ["x", f"{name}_w"], [f"{name}_a"]),
            node("Relu", [f"{name}_a"], [f"{name}_b"]),
            node("Conv", [f"{name}_b", f"{name}_v"], [f"{name}_y"]),
        ]
        return helper.make_graph(nodes, name, [], [shaped(f"{name}_y", None, 10, 1)])

    nodes = [
        node("ReduceMean", ["x"], ["mean"], keepdims=0),
        node("Greater", ["mean", "zero"], ["condition"]),
        node("If", ["condition"], ["chosen"], "if", then_branch=branch("then"), else_branch=branch("else")),
        node("Flatten", ["chosen"], ["y"]),
    ]
    model = desk.load(nodes, [numpy_helper.from_array(np.float32(0), "zero")])
    small, job = desk.run(model, QuantizeDynamic())
    assert job.facts["int8_stored"] == 4
    assert small.onnx.stat().st_size < 0.4 * model.onnx.stat().st_size
    assert 0 < desk.error(model, small) < 0.02
    again = desk.run(model, QuantizeDynamic())[0]
    assert again.onnx.read_bytes() == small.onnx.read_bytes()
