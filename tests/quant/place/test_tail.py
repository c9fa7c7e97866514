"""What follows the last layers stays float; rounding it would be the largest error of all."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgepipe.onnx.wiring import Wiring
from edgepipe.quant.place.placement import NOT_WORTH_IT, place
from edgepipe.quant.place.tail import LAST_LAYER, behind_all_layers
from tests.quant.place.test_placement import answers, conv, graph, quantized, weight


def number(name: str, value: float | list[int]) -> TensorProto:
    return numpy_helper.from_array(np.array(value, np.int64 if isinstance(value, list) else np.float32), name)


def detector(tail: list[NodeProto], classes: int = 4) -> onnx.ModelProto:
    """Three convolutions of 96 channels, and two small ones, of boxes `b` and of scores `s`; `tail` makes `y`."""
    nodes = [
        conv("one", "x", "a", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["ar"], name="relu"),
        conv("two", "ar", "c", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["cr"], name="relu2"),
        conv("boxes", "cr", "b"),
        conv("scores", "cr", "s"),
        *tail,
    ]
    stored = [weight("one.w", 96, 16, 3, 3), weight("two.w", 96, 96, 3, 3)]
    stored += [weight("boxes.w", 4, 96, 1, 1), weight("scores.w", classes, 96, 1, 1), number("pixels", 40.0)]
    return graph(nodes, [*stored, number("flat", [0, 4, -1]), number("rows", [0, classes, -1])])


JOINED = [
    helper.make_node("Sigmoid", ["s"], ["p"], name="curve"),
    helper.make_node("Reshape", ["b", "flat"], ["bf"], name="flat_boxes"),
    helper.make_node("Reshape", ["p", "rows"], ["pf"], name="flat_scores"),
    helper.make_node("Concat", ["bf", "pf"], ["y"], name="join", axis=1),
]
SCALED = [
    helper.make_node("Mul", ["b", "pixels"], ["bp"], name="scale"),
    helper.make_node("Sigmoid", ["s"], ["p"], name="curve"),
    helper.make_node("Concat", ["bp", "p"], ["j"], name="join", axis=1),
    helper.make_node("Transpose", ["j"], ["y"], name="turn", perm=[0, 2, 3, 1]),
]
APART = [
    helper.make_node("Concat", ["b", "s"], ["j"], name="join", axis=1),
    helper.make_node("Add", ["j", "j"], ["k"], name="sum"),
    helper.make_node("Softmax", ["k"], ["y"], name="softmax", axis=1),
]


@pytest.mark.parametrize("tail", [JOINED, SCALED, APART], ids=["joined", "scaled", "summed"])
def test_the_ends_of_a_detector_and_what_follows_stay_float(tail: list[NodeProto]) -> None:
    model = detector(tail)
    placement = place(model, ())
    assert placement.nodes == {"one", "two"}
    assert placement.kept_float == {"boxes": LAST_LAYER, "scores": LAST_LAYER}
    assert not set(placement.tensors) & {name for node in model.graph.node[4:] for name in node.output}


def test_an_answer_of_pixels_is_nearer_by_far_than_with_its_last_layers_in_int8() -> None:
    model = detector(SCALED)
    wanted = answers(model)["y"]
    errors = [
        np.abs(answers(quantized(model, keep_float=mode))["y"] - wanted)[..., :4].mean() for mode in ("auto", "never")
    ]
    assert errors[0] < 0.8 * errors[1]


def test_never_computes_the_last_layers_in_int8_but_nothing_behind_them() -> None:
    placement = place(detector(APART), (), "never")
    assert {"one", "two", "boxes", "scores"} <= placement.nodes
    assert not {"join", "sum"} & placement.nodes


def test_a_last_layer_that_holds_much_of_the_weights_runs_in_int8() -> None:
    model = detector([helper.make_node("Concat", ["b", "s"], ["y"], name="join", axis=1)], classes=256)
    placement = place(model, ())
    assert "scores" in placement.nodes
    assert placement.kept_float == {"boxes": LAST_LAYER}


def test_what_a_layer_inside_of_an_if_reads_is_no_answer() -> None:
    inner = helper.make_graph(
        [conv("inside", "b", "i")],
        "then",
        [],
        [helper.make_empty_tensor_value_info("i")],
        [weight("inside.w", 4, 4, 1, 1)],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["b"], ["k"])], "else", [], [helper.make_empty_tensor_value_info("k")]
    )
    choice = helper.make_node("If", ["flag"], ["y"], name="if", then_branch=inner, else_branch=other)
    model = detector([choice])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "flag"))
    assert behind_all_layers(Wiring(model)) == {"s", "y"}
    assert LAST_LAYER not in {reason for name, reason in place(model, ()).kept_float.items() if name == "boxes"}
    assert NOT_WORTH_IT not in place(model, (), "never").kept_float.values()
