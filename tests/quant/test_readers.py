"""Whoever rewrites a graph keeps what others read: subgraphs, outputs, several activations on one tensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgepipe.contract.artifact import Artifact
from edgepipe.onnx.adopt import adopt
from edgepipe.onnx.linear import linear_to_gemm
from edgepipe.onnx.subgraphs import all_graphs
from edgepipe.onnx.wiring import Wiring, drop_unread
from edgepipe.passes.quantize_dynamic import QuantizeDynamic
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.passes.quantize_weights import QuantizeWeights
from edgepipe.passes.to_float16 import ToFloat16
from edgepipe.quant.rewrite.norms import norms_to_convolutions
from edgepipe.quant.rewrite.patches import patches_to_products
from edgepipe.quant.rewrite.prepare import prepare
from edgepipe.quant.rewrite.products import gemms_to_products, part_shared
from edgepipe.quant.write.equalize import equalize
from tests.quant.test_odd_graphs import Desk, desk, head, node, shaped, weight

__all__ = ["desk"]


def unread(model: onnx.ModelProto) -> list[str]:
    """Initializers without a reader; ONNX Runtime warns of each when it loads the file."""
    return [
        item.name
        for graph in all_graphs(model.graph)
        for wiring in [Wiring(graph)]
        for item in graph.initializer
        if not wiring.is_read(item.name)
    ]


@pytest.mark.parametrize("slopes", [(1.0, 0.1), (0.1, 1.0), (0.5, 0.5)])
def test_a_range_ends_where_the_last_of_two_activations_is_flat(desk: Desk, slopes: tuple[float, float]) -> None:
    wide = numpy_helper.from_array(np.linspace(-6, 6, 16).astype("f"), "bias")
    last, stored = head("z", 16)
    nodes = [
        node("Conv", ["x", "w", "bias"], ["a"], "first"),
        *(node("HardSigmoid", ["a"], [f"g{slope}{i}"], f"curve{i}", alpha=slope) for i, slope in enumerate(slopes)),
        node("Concat", [f"g{slope}{i}" for i, slope in enumerate(slopes)], ["s"], "join", axis=1),
        node("Conv", ["s", "w2"], ["z"], "second"),
        *last,
    ]
    model = desk.load(nodes, [weight("w", 16, 3, 3, 3), wide, weight("w2", 16, 32, 3, 3), *stored])
    small, _ = desk.run(model, QuantizeStatic(keep_float="never"))
    assert desk.error(model, small) < 0.03
    assert unread(onnx.load(small.onnx)) == []


def test_a_hard_sigmoid_that_a_subgraph_reads_is_one_there_too(desk: Desk) -> None:
    shape = (None, 16, 14, 14)
    then = helper.make_graph([node("Identity", ["g"], ["t"])], "t", [], [shaped("t", *shape)])
    other = helper.make_graph([node("Mul", ["g", "g"], ["e"])], "e", [], [shaped("e", *shape)])
    last, stored = head("sum", 16)
    nodes = [
        node("Conv", ["x", "w"], ["a"], "first"),
        node("HardSigmoid", ["a"], ["g"], "curve", alpha=0.5),
        node("Conv", ["g", "w2"], ["b"], "second", pads=[1] * 4),
        node("ReduceMean", ["x"], ["mean"], "mean", keepdims=0),
        node("Greater", ["mean", "zero"], ["condition"], "greater"),
        node("If", ["condition"], ["chosen"], "if", then_branch=then, else_branch=other),
        node("Add", ["chosen", "b"], ["sum"], "add"),
        *last,
    ]
    zero = numpy_helper.from_array(np.float32(0), "zero")
    model = desk.load(nodes, [weight("w", 16, 3, 3, 3), weight("w2", 16, 16, 3, 3), zero, *stored])
    small, _ = desk.run(model, QuantizeStatic(keep_float="never"))
    assert desk.error(model, small) < 0.03


@pytest.mark.parametrize("reader", ["if", "output"])
def test_a_transpose_behind_the_input_stays_known_to_a_subgraph_and_to_the_output(tmp_path: Path, reader: str) -> None:
    """The one in front of a channels-last graph and the one behind its input undo each other; others read between."""
    nodes = [node("Transpose", ["image"], ["chw"], perm=[0, 3, 1, 2])]
    if reader == "if":
        then = helper.make_graph([node("Neg", ["chw"], ["t"])], "t", [], [shaped("t", None, 3, 4, 5)])
        other = helper.make_graph([node("Abs", ["chw"], ["e"])], "e", [], [shaped("e", None, 3, 4, 5)])
        nodes += [
            node("ReduceMax", ["chw"], ["top"], keepdims=0),
            node("Greater", ["top", "zero"], ["c"]),
            node("If", ["c"], ["y"], then_branch=then, else_branch=other),
        ]
    inputs, outputs = [shaped("image", None, 4, 5, 3)], [shaped("y" if reader == "if" else "chw", None, 3, 4, 5)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(np.float32(0), "zero")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    rows = np.random.default_rng(0).standard_normal((4, 3, 4, 5)).astype("f")
    facts = adopt(
        tmp_path / "m.onnx",
        tmp_path / "out.onnx",
        (3, 4, 5),
        layout="nhwc",
        output=None,
        examples=rows,
        answers=-rows if reader == "if" else rows,
        tolerance=1e-6,
        what="it",
    )
    assert facts["largest_difference"] == 0
    assert unread(onnx.load(tmp_path / "out.onnx")) == []


_CURVES = ["Relu", "Sigmoid", "HardSigmoid", "LeakyRelu", "HardSwish", "Clip", "Neg"]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """A random graph over pictures of 4 channels: layers, norms, several activations on one tensor, an If that reads
    whatever is outside of it, weights that are shared, constants that nobody reads."""
    number = iter(range(1000))
    nodes: list[onnx.NodeProto] = []
    stored = [weight("spare", 4, 4), numpy_helper.from_array(np.float32(0), "zero"), weight("w0", 4, 4, 3, 3)]
    stored += [weight(name, 4, scale=0.5) for name in ("scale", "shift", "mean")]
    stored += [numpy_helper.from_array(np.full(4, 0.7, "f"), "var"), numpy_helper.from_array(np.float32(6), "six")]
    made = ["x"]

    def picked() -> str:
        return draw(st.sampled_from(made[-4:]))

    def curve(read: str, name: str) -> onnx.NodeProto:
        kind = draw(st.sampled_from(_CURVES))
        slope = {"alpha": draw(st.sampled_from([0.1, 0.5]))} if kind in ("HardSigmoid", "LeakyRelu") else {}
        return node(kind, [read, "zero", "six"] if kind == "Clip" else [read], [name], f"n{name}", **slope)

    for _ in range(draw(st.integers(2, 7))):
        name, kind = f"t{next(number)}", draw(st.sampled_from(["conv", "curve", "join", "norm", "if", "curves"]))
        if kind == "conv":
            own = "w0" if draw(st.booleans()) else f"w{name}"
            stored += [weight(own, 4, 4, 3, 3)] if own != "w0" else []
            nodes.append(node("Conv", [picked(), own], [name], f"n{name}", pads=[1] * 4))
        elif kind == "curve":
            nodes.append(curve(picked(), name))
        elif kind == "curves":
            read = picked()
            nodes += [curve(read, f"{name}a"), curve(read, f"{name}b")]
            nodes.append(node("Mul", [f"{name}a", f"{name}b"], [name], f"n{name}"))
        elif kind == "join":
            nodes.append(node(draw(st.sampled_from(["Add", "Mul"])), [picked(), picked()], [name], f"n{name}"))
        elif kind == "norm":
            nodes.append(node("BatchNormalization", [picked(), "scale", "shift", "mean", "var"], [name], f"n{name}"))
        else:
            branches = []
            for side in ("t", "e"):
                inner = weight(f"i{name}{side}", 1, 4, 1, 1)
                body = [
                    node(draw(st.sampled_from(["Add", "Mul"])), [picked(), picked()], [f"m{name}{side}"]),
                    node("Mul", [f"m{name}{side}", inner.name], [f"o{name}{side}"]),
                ]
                idle = weight(f"idle{name}{side}", 3)
                ends = [shaped(f"o{name}{side}", None, 4, 8, 8)]
                branches.append(helper.make_graph(body, side, [], ends, [inner, idle]))
            nodes += [
                node("ReduceMean", [picked()], [f"m{name}"], f"mean{name}", keepdims=0),
                node("Greater", [f"m{name}", "zero"], [f"c{name}"], f"greater{name}"),
                node("If", [f"c{name}"], [name], f"n{name}", then_branch=branches[0], else_branch=branches[1]),
            ]
        made.append(name)
    last, more = head(made[-1], 4)
    return [*nodes, *last], [*stored, *more]


def answered(model: onnx.ModelProto, rows: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return np.asarray(ort.InferenceSession(model.SerializeToString(), options).run(["y"], {"x": rows})[0])


@pytest.fixture(scope="module")
def small_desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("readers"), np.random.default_rng(5).standard_normal((8, 4, 8, 8)))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(drawn=graphs())
def test_a_rewritten_float_graph_answers_as_before(
    small_desk: Desk, drawn: tuple[list[onnx.NodeProto], list[TensorProto]]
) -> None:
    model = small_desk.load(*drawn)
    wanted = answered(onnx.load(model.onnx), small_desk.inputs)
    scale = max(1.0, float(np.abs(wanted).max()))
    network = prepare(model.onnx, "it")
    small = lambda _share, _text: None  # noqa: E731
    for rewrite in (
        lambda: norms_to_convolutions(network),
        lambda: equalize(network, small_desk.data, examples=8, batch_size=8, progress=small),
        lambda: patches_to_products(network, ()),
        lambda: gemms_to_products(network, 1, ()),
        lambda: part_shared(network),
        lambda: linear_to_gemm(network),
        lambda: drop_unread(network.graph),
    ):
        rewrite()
        onnx.checker.check_model(network)
        assert np.abs(answered(network, small_desk.inputs) - wanted).max() <= 1e-4 * scale
    assert unread(network) == []


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(drawn=graphs())
def test_a_deployed_file_holds_no_constant_that_nobody_reads(
    small_desk: Desk, drawn: tuple[list[onnx.NodeProto], list[TensorProto]]
) -> None:
    model = small_desk.load(*drawn)
    passes = [
        QuantizeStatic(keep_float="never"),
        QuantizeDynamic(),
        QuantizeWeights(smallest=16, bits=8),
        ToFloat16(),
        ToFloat16(mode="compute"),
    ]
    for one in passes:
        deployed: Artifact = small_desk.run(model, one)[0]
        assert unread(onnx.load(deployed.onnx)) == []
        if isinstance(one, ToFloat16):
            assert small_desk.error(model, deployed) < 0.02
