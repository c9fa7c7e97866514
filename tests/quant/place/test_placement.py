"""What runs in int8, read from the graph that ONNX Runtime makes of the file, and what it answers."""

from __future__ import annotations

import collections
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgepipe.errors import PassError
from edgepipe.measure.macs import layers
from edgepipe.onnx.graph import Graph
from edgepipe.onnx.wiring import Wiring
from edgepipe.quant.calibrate.observers import UNLIMITED, Observer
from edgepipe.quant.place.curves import lookups
from edgepipe.quant.place.exclude import excluded_nodes, named_nodes
from edgepipe.quant.place.guards import guard_floats
from edgepipe.quant.place.min_cut import Network
from edgepipe.quant.place.placement import NOT_WORTH_IT, place
from edgepipe.quant.place.scattered import is_scattered
from edgepipe.quant.place.worth import shapes_of
from edgepipe.quant.rewrite.norms import norms_to_convolutions
from edgepipe.quant.write.qdq import QdqWriter

SHAPE = (1, 16, 24, 24)


def weight(name: str, *shape: int) -> TensorProto:
    draw = np.random.default_rng(sum(name.encode())).standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return numpy_helper.from_array(draw.astype(np.float32), name)


def graph(nodes: list[NodeProto], stored: list[TensorProto], output: str = "y") -> onnx.ModelProto:
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *SHAPE[1:]])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        stored,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def conv(name: str, reads: str, writes: str, **more: Any) -> NodeProto:
    return helper.make_node("Conv", [reads, f"{name}.w"], [writes], name=name, **more)


def answers(model: onnx.ModelProto, tensors: list[str] | None = None) -> dict[str, NDArray[np.float32]]:
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    known = {item.name for item in probe.graph.output}
    probe.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in tensors or [] if n not in known)
    session = ort.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    names = [item.name for item in probe.graph.output]
    return dict(zip(names, session.run(names, {"x": x}), strict=True)) | {"x": x}


def quantized(model: onnx.ModelProto, excluded: tuple[str, ...] = (), keep_float: str = "never") -> onnx.ModelProto:
    small = onnx.ModelProto()
    small.CopyFrom(model)
    placement = place(small, excluded, keep_float)  # type: ignore[arg-type]
    values = answers(small, [name for name in placement.tensors if name != "x"])
    ranges = {}
    for name, value in values.items():
        observer = Observer(histogram=False)
        observer.observe(value)
        ranges[name] = observer.range("min_max", limits=placement.limits.get(name, UNLIMITED))
    writer = QdqWriter(small, per_channel=True, pair_safe=True, search=False)
    writer.write(placement, ranges)
    lookups(small, placement)
    guard_floats(small)
    return small


def really_run(model: onnx.ModelProto, folder: Path) -> collections.Counter[str]:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return collections.Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


def gated(curve: str, **attributes: float) -> onnx.ModelProto:
    """A convolution, x * curve(x), and a convolution."""
    nodes = [
        conv("one", "x", "c"),
        helper.make_node(curve, ["c"], ["g"], name="curve", **attributes),
        helper.make_node("Mul", ["c", "g"], ["a"], name="gate"),
        conv("two", "a", "y"),
    ]
    return graph(nodes, [weight("one.w", 32, 16, 1, 1), weight("two.w", 16, 32, 1, 1)])


@pytest.mark.parametrize(
    ("model", "kernel"),
    [(gated("Sigmoid"), "QLinearSigmoid"), (gated("HardSigmoid", alpha=1 / 6, beta=0.5), "QLinearLeakyRelu")],
    ids=["SiLU", "HardSwish"],
)
def test_silu_and_hard_swish_run_in_int8_and_answer_as_float(
    model: onnx.ModelProto, kernel: str, tmp_path: Path
) -> None:
    small = quantized(model)
    operators = really_run(small, tmp_path)
    assert operators["QLinearConv"] == 2
    assert operators[kernel] == 1
    assert operators["QLinearMul"] == 1
    assert not {"Conv", "FusedConv", "Mul", "Sigmoid", "HardSigmoid"} & set(operators)
    wanted, got = answers(model)["y"], answers(small)["y"]
    assert np.sqrt(np.mean(np.square(got - wanted))) < 0.02 * wanted.std() + 0.01 * np.abs(wanted).max()


def test_hard_sigmoid_as_a_lookup_is_within_a_step_of_the_function() -> None:
    model = gated("HardSigmoid", alpha=1 / 6, beta=0.5)
    small = quantized(model)
    found = answers(small, ["g_dequantized", "c_dequantized"])
    wanted = np.clip(found["c_dequantized"] / 6 + 0.5, 0, 1)
    assert np.abs(found["g_dequantized"] - wanted).max() < 1.01 / 255  # half a step of rounding, half of the zero point


def test_a_tensor_that_only_gates_read_spends_no_step_where_they_are_flat() -> None:
    model = gated("HardSigmoid", alpha=1 / 6, beta=0.5)
    placement = place(model, (), "never")
    assert placement.limits["c"] == (pytest.approx(-3), np.inf)
    assert "a" not in placement.limits
    both = onnx.ModelProto()
    both.CopyFrom(model)
    both.graph.node.append(conv("two", "c", "z"))  # somebody who does tell values below -3 apart
    both.graph.node[-1].name = "three"
    assert "c" not in place(both, (), "never").limits


def test_a_batch_norm_that_nothing_absorbs_becomes_an_int8_convolution(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    stored = [weight("one.w", 16, 16, 3, 3), weight("two.w", 8, 32, 1, 1)]
    stored += [numpy_helper.from_array(rng.uniform(0.5, 2, 32).astype(np.float32), f"bn{i}") for i in range(4)]
    nodes = [
        conv("one", "x", "c", pads=[1, 1, 1, 1]),
        helper.make_node("Concat", ["x", "c"], ["j"], name="join", axis=1),
        helper.make_node("BatchNormalization", ["j", "bn0", "bn1", "bn2", "bn3"], ["n"], name="norm"),
        helper.make_node("Relu", ["n"], ["r"], name="relu"),
        conv("two", "r", "y"),
    ]
    model = graph(nodes, stored)
    wanted = answers(model)["y"]
    assert norms_to_convolutions(model) == 1
    assert np.allclose(answers(model)["y"], wanted, atol=1e-4)
    operators = really_run(quantized(model), tmp_path)
    assert operators["QLinearConv"] == 3
    assert not {"BatchNormalization", "Conv", "Concat", "Relu"} & set(operators)


def test_a_split_runs_in_int8_with_one_scale(tmp_path: Path) -> None:
    nodes = [
        conv("one", "x", "c"),
        helper.make_node("Split", ["c"], ["left", "right"], name="split", axis=1, num_outputs=2),
        conv("two", "left", "l"),
        helper.make_node("Concat", ["l", "right"], ["j"], name="join", axis=1),
        conv("three", "j", "y"),
    ]
    stored = [weight("one.w", 32, 16, 1, 1), weight("two.w", 16, 16, 1, 1), weight("three.w", 16, 32, 1, 1)]
    model = graph(nodes, stored)
    placement = place(model, (), "never")
    assert placement.same_as["left"] == placement.same_as["right"] == "c"
    operators = really_run(quantized(model), tmp_path)
    assert operators["QLinearConv"] == 3
    assert operators["QLinearConcat"] == 1
    assert operators["DequantizeLinear"] == 1  # of the answer


def scalar(name: str, value: float) -> TensorProto:
    return numpy_helper.from_array(np.float32(value), name)


BETWEEN: dict[str, list[tuple[str, list[str], dict[str, Any]]]] = {
    "nothing": [],
    "Relu": [("Relu", [], {})],
    "Clip from 0": [("Clip", ["zero", "six"], {})],
    "Clip from -1": [("Clip", ["below", "six"], {})],
    "Relu twice": [("Relu", [], {}), ("Relu", [], {})],
    "MaxPool": [("MaxPool", [], {"kernel_shape": [2, 2]})],
    "Relu, MaxPool": [("Relu", [], {}), ("MaxPool", [], {"kernel_shape": [2, 2]})],
    "Identity": [("Identity", [], {})],
    "LeakyRelu": [("LeakyRelu", [], {"alpha": 0.1})],
    "HardSwish": [("HardSwish", [], {})],
    "Tanh": [("Tanh", [], {})],
}
LET_BE = ("LeakyRelu", "HardSwish", "Tanh")
"""ONNX Runtime makes no int8 layer across these by itself."""


def between(steps: list[tuple[str, list[str], dict[str, Any]]]) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """An int8 convolution, one that stays float with float `steps` behind it, an int8 one; and what stays float."""
    nodes = [conv("one", "x", "a"), conv("two", "a", "s", pads=[1, 1, 1, 1])]
    tensor = "s"
    for number, (kind, reads, attributes) in enumerate(steps):
        nodes.append(helper.make_node(kind, [tensor, *reads], [f"s{number}"], name=f"step{number}", **attributes))
        tensor = f"s{number}"
    nodes.append(conv("three", tensor, "y"))
    stored = [weight("one.w", 16, 16, 1, 1), weight("two.w", 16, 16, 3, 3), weight("three.w", 16, 16, 1, 1)]
    stored += [scalar("zero", 0), scalar("below", -1), scalar("six", 6)]
    return graph(nodes, stored), ("two", *(f"step{number}" for number in range(len(steps))))


@pytest.mark.parametrize("name", BETWEEN)
def test_an_excluded_convolution_between_int8_ones_is_float_in_the_runtime_too(name: str, tmp_path: Path) -> None:
    model, excluded = between(BETWEEN[name])
    small = quantized(model, excluded)
    operators = really_run(small, tmp_path)
    assert operators["QLinearConv"] == 2
    assert operators["Conv"] + operators["FusedConv"] == 1
    for node in small.graph.node:  # without its guard the runtime decides otherwise
        if node.op_type == "Sum":
            node.op_type = "Identity"
    assert really_run(small, tmp_path)["QLinearConv"] == (2 if name in LET_BE else 3)
    assert any(node.name == "two_stays_float" for node in small.graph.node) == (name not in LET_BE)


def test_a_guarded_layer_is_still_fused_with_its_activation(tmp_path: Path) -> None:
    model, excluded = between(BETWEEN["Relu"])
    small = quantized(model, excluded)
    assert really_run(small, tmp_path)["Relu"] == 0
    wanted, got = answers(model)["y"], answers(small)["y"]
    assert np.sqrt(np.mean(np.square(got - wanted))) < 0.02 * np.abs(wanted).max()


def test_a_guard_looks_through_what_moves_values_before_the_layer(tmp_path: Path) -> None:
    nodes = [
        conv("one", "x", "a"),
        helper.make_node("MaxPool", ["a"], ["p"], name="pool", kernel_shape=[2, 2]),
        conv("two", "p", "s"),
        helper.make_node("Relu", ["s"], ["r"], name="relu"),
        conv("three", "r", "y"),
    ]
    model = graph(nodes, [weight(f"{name}.w", 16, 16, 1, 1) for name in ("one", "two", "three")])
    operators = really_run(quantized(model, ("two", "pool")), tmp_path)
    assert operators["QLinearConv"] == 2
    assert operators["Conv"] + operators["FusedConv"] == 1


def test_a_lone_cheap_layer_among_float_operators_is_not_worth_its_conversions() -> None:
    nodes = [
        helper.make_node("Erf", ["x"], ["e"], name="erf"),
        conv("one", "e", "c", group=16),
        helper.make_node("Tanh", ["c"], ["t"], name="tanh"),
        helper.make_node("Erf", ["t"], ["y"], name="again"),
    ]
    model = graph(nodes, [weight("one.w", 16, 1, 1, 1)])
    placement = place(model, ())
    assert placement.nodes == set()
    assert placement.kept_float == {"one": NOT_WORTH_IT}
    assert place(model, (), "never").nodes == {"one"}


def test_placing_is_the_same_every_time() -> None:
    model = gated("Sigmoid")
    assert place(model, ()) == place(model, ())


def test_the_cut_is_the_cheapest_of_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        inner = 6
        edges = [(int(a), int(b), int(c)) for a, b, c in zip(*rng.integers(0, [[8], [8], [20]], (3, 24)), strict=True)]
        edges = [edge for edge in edges if edge[0] != edge[1]]
        network = Network()
        for _ in range(inner):
            network.node()
        for edge in edges:
            network.edge(*edge)
        side = network.source_side()

        def cost(source: set[int], edges: list[tuple[int, int, int]] = edges) -> int:
            return sum(room for start, end, room in edges if start in source and end not in source)

        others = [{0, *(i + 2 for i in range(inner) if bits[i])} for bits in product((0, 1), repeat=inner)]
        assert 0 in side
        assert 1 not in side
        assert cost(side) == min(map(cost, others))


@pytest.mark.parametrize(
    ("wide", "group", "kernel", "wanted"),
    [(32, 16, 7, False), (32, 16, 1, False), (16, 4, 3, False), (16, 1, 3, True)],
)
def test_a_convolution_in_groups_that_is_not_depthwise_stays_float(
    wide: int, group: int, kernel: int, wanted: bool
) -> None:
    """In int8 the runtime multiplies each group by itself: 0.5 ms became 13."""
    between = conv("grouped", "a", "b", group=group, pads=[kernel // 2] * 4)
    nodes = [conv("one", "x", "a"), between, conv("two", "b", "y", kernel_shape=[1, 1])]
    stored = [weight("one.w", 16, 16, 1, 1), weight("grouped.w", wide, 16 // group, kernel, kernel)]
    found = place(graph(nodes, [*stored, weight("two.w", 16, wide, 1, 1)]), ())
    assert ("grouped" in found.nodes) == wanted
    assert (found.kept_float.get("grouped") == NOT_WORTH_IT) != wanted


def shuffled(perm: list[int], split: list[int]) -> onnx.ModelProto:
    """Two convolutions with a reshape, a transposition and a reshape between them."""
    nodes = [
        conv("one", "x", "a"),
        helper.make_node("Reshape", ["a", "split"], ["b"], name="split"),
        helper.make_node("Transpose", ["b"], ["c"], name="turn", perm=perm),
        helper.make_node("Reshape", ["c", "whole"], ["d"], name="join"),
        conv("two", "d", "y"),
    ]
    sizes = [numpy_helper.from_array(np.array(size), name) for size, name in ((split, "split"), (SHAPE, "whole"))]
    return graph(nodes, [weight("one.w", 16, 16, 1, 1), weight("two.w", 16, 16, 1, 1), *sizes])


def test_a_shuffle_of_channels_keeps_the_layers_around_it_in_float() -> None:
    """The runtime folds channels-last into the transposition, and drags it into int8: 0.28 ms became 1.2."""
    found = place(shuffled([0, 2, 1, 3, 4], [1, 2, 8, 24, 24]), ())
    assert not found.nodes
    assert found.kept_float == {"one": NOT_WORTH_IT, "two": NOT_WORTH_IT}
    forced = place(shuffled([0, 2, 1, 3, 4], [1, 2, 8, 24, 24]), (), "never").nodes
    assert {"one", "two", "turn"} <= forced  # between int8 layers the runtime would run it in int8 in any case


def shuffle_network(channels: int, groups: int, blocks: int) -> onnx.ModelProto:
    """1x1 convolutions in groups with a shuffle and a depthwise one between them, and a sum around them."""
    nodes, name = [conv("stem", "x", "t0")], "t0"
    sizes = {"apart": (-1, groups, channels // groups, *SHAPE[2:]), "whole": (-1, channels, *SHAPE[2:])}
    stored = [numpy_helper.from_array(np.array(size), key) for key, size in sizes.items()]
    stored.append(weight("stem.w", channels, SHAPE[1], 1, 1))
    for at in range(blocks):
        b = f"b{at}"
        nodes += [
            conv(f"{b}one", name, f"{b}a", group=groups),
            helper.make_node("Relu", [f"{b}a"], [f"{b}r"], name=f"{b}r"),
            helper.make_node("Reshape", [f"{b}r", "apart"], [f"{b}s"], name=f"{b}s"),
            helper.make_node("Transpose", [f"{b}s"], [f"{b}t"], name=f"{b}t", perm=[0, 2, 1, 3, 4]),
            helper.make_node("Reshape", [f"{b}t", "whole"], [f"{b}w"], name=f"{b}w"),
            conv(f"{b}deep", f"{b}w", f"{b}d", group=channels, pads=[1] * 4),
            conv(f"{b}two", f"{b}d", f"{b}e", group=groups),
            helper.make_node("Add", [name, f"{b}e"], [f"{b}y"], name=f"{b}y"),
        ]
        stored += [weight(f"{b}{each}.w", channels, channels // groups, 1, 1) for each in ("one", "two")]
        stored.append(weight(f"{b}deep.w", channels, 1, 3, 3))
        name = f"{b}y"
    return graph([*nodes, conv("last", name, "y")], [*stored, weight("last.w", SHAPE[1], channels, 1, 1)])


@pytest.mark.parametrize(("channels", "groups", "pixels"), [(24, 3, 8), (24, 6, 8), (16, 2, 8), (12, 2, 8), (20, 5, 6)])
def test_a_small_network_that_int8_makes_neither_faster_nor_smaller_stays_float(
    channels: int, groups: int, pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "SHAPE", (1, 16, pixels, pixels))
    model = shuffle_network(channels, groups, 3)
    forced = quantized(model)
    assert forced.ByteSize() > model.ByteSize()
    assert not place(model, ()).nodes


def test_bytes_are_reason_enough_where_there_are_many() -> None:
    model = shuffle_network(192, 3, 2)
    nodes = place(model, ()).nodes
    assert "stem" in nodes or "last" in nodes or "b0one" in nodes
    assert quantized(model, keep_float="auto").ByteSize() < 0.75 * model.ByteSize()


def test_transpositions_that_move_one_block_cost_nothing_more() -> None:
    model = shuffled([0, 2, 1], [1, 16, 576])
    assert not is_scattered(model.graph.node[2], Wiring(model), shapes_of(model))
    model = shuffled([0, 2, 1, 3, 4], [1, 2, 8, 24, 24])
    assert is_scattered(model.graph.node[2], Wiring(model), shapes_of(model))
    heads = helper.make_node("Transpose", ["x"], ["y"], perm=[0, 2, 1, 3])  # of attention: rows of 24 are copied
    assert not is_scattered(heads, Wiring(graph([heads], [])), {"x": SHAPE})


def test_exclude_takes_a_layer_as_the_report_calls_it() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "stage.conv.weight"], ["a"], name="node_7"),
        helper.make_node("Conv", ["a", "twice.weight"], ["b"], name="node_8"),
        helper.make_node("Conv", ["b", "twice.weight"], ["y"], name="node_9"),
    ]
    model = graph(nodes, [weight("stage.conv.weight", 16, 16, 1, 1), weight("twice.weight", 16, 16, 1, 1)])
    titles = [item.cost.name for item in layers(Graph(model, "m"), SHAPE[1:])]
    assert titles == ["stage.conv", "twice (node_8)", "twice (node_9)"]
    for find in (excluded_nodes, named_nodes):
        assert [find(model, [title], "q") for title in titles] == [{"node_7"}, {"node_8"}, {"node_9"}]
        assert find(model, ["twice"], "q") == {"node_8", "node_9"}
        assert find(model, ["node_7"], "q") == {"node_7"}
        with pytest.raises(PassError, match=r"passes\.q\.exclude: .*'stage.con'. Did you mean 'stage.conv'"):
            find(model, ["stage.con"], "q")
    assert excluded_nodes(model, ["Conv"], "q") == {"node_7", "node_8", "node_9"}


@pytest.mark.parametrize(("sizes", "int8"), [((64, 64, 10), False), ((256, 256, 10), False), ((1024, 512, 10), True)])
def test_a_perceptron_runs_in_int8_only_where_its_weights_are_worth_it(sizes: tuple[int, ...], int8: bool) -> None:
    """Measured in turns with float: 0.7x, 0.8x and more than 1.6x as fast in int8."""
    nodes, stored, reads = [], [], "x"
    for number, (wide, narrow) in enumerate(pairwise(sizes)):
        stored.append(weight(f"w{number}", wide, narrow))
        nodes.append(helper.make_node("Gemm", [reads, f"w{number}"], [f"g{number}"], name=f"fc{number}"))
        nodes.append(helper.make_node("Relu", [f"g{number}"], [f"r{number}"], name=f"relu{number}"))
        reads = f"r{number}"
    nodes[-1].output[0] = "y"
    model = graph(nodes, stored)
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", sizes[0]]))
    placement = place(model, ())
    assert bool(placement.nodes) == int8
    assert int8 or set(placement.kept_float.values()) == {NOT_WORTH_IT}
    assert len(place(model, (), "never").nodes & {"fc0", "fc1"}) == 2
