"""Graphs of other converters: what stands at their input goes where it only undoes what was put in front of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepipe.errors import ModelError
from edgepipe.onnx.adopt import adopt
from edgepipe.onnx.answers import session_answers

RNG = np.random.default_rng(0)
KERNEL = RNG.standard_normal((4, 1, 3, 3)).astype(np.float32)


def nhwc(path: Path, shape: list[int], *, constant: bool = False) -> Path:
    """One channel of 6x8 pixels, channels last; as tf2onnx writes it, a Reshape puts the channel first."""
    reshape = helper.make_node("Reshape", ["x", "shape"], ["first"], "to_first")
    convolve = helper.make_node("Conv", ["first", "w"], ["y"], "conv")
    wanted = numpy_helper.from_array(np.array(shape, np.int64), "shape")
    nodes = [helper.make_node("Constant", [], ["shape"], "c", value=wanted)] if constant else []
    graph = helper.make_graph(
        [*nodes, reshape, convolve],
        "nhwc",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6, 8, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, None, None])],
        [numpy_helper.from_array(KERNEL, "w"), *([] if constant else [wanted])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def adopted(source: Path, target: Path) -> tuple[list[str], float]:
    """(operators, largest difference) after adopting a graph for channels first."""
    examples = RNG.standard_normal((5, 1, 6, 8)).astype(np.float32)
    answers = session_answers(source)(examples.transpose(0, 2, 3, 1))
    facts = adopt(
        source,
        target,
        (1, 6, 8),
        layout="nhwc",
        output=None,
        examples=examples,
        answers=answers,
        tolerance=1e-5,
        what="m",
    )
    return [node.op_type for node in onnx.load(target).graph.node], facts["largest_difference"]


@pytest.mark.parametrize("shape", [[-1, 1, 6, 8], [0, 1, 6, 8]])
@pytest.mark.parametrize("constant", [False, True])
def test_a_reshape_that_puts_the_only_channel_first_again_goes(
    tmp_path: Path, shape: list[int], constant: bool
) -> None:
    operators, difference = adopted(nhwc(tmp_path / "a.onnx", shape, constant=constant), tmp_path / "b.onnx")
    assert operators == ["Conv"]
    assert difference < 1e-5


def test_a_reshape_to_another_picture_stays_and_answers_alike(tmp_path: Path) -> None:
    for number, shape in enumerate([[-1, 1, 8, 6], [-1, 1, 4, 12]]):
        operators, difference = adopted(nhwc(tmp_path / f"{number}.onnx", shape), tmp_path / f"out{number}.onnx")
        assert "Reshape" in operators and "Transpose" in operators
        assert difference < 1e-5


@pytest.mark.parametrize(
    ("given", "inner", "weight", "made"),
    [("input", "h", "w", "output"), ("x", "input", "output", "y"), ("output", "h", "input", "input_inner")],
)
def test_names_of_the_graph_may_be_those_that_edgepipe_gives(
    tmp_path: Path, given: str, inner: str, weight: str, made: str
) -> None:
    body = helper.make_graph(
        [helper.make_node("Add", [inner, weight], ["sum"])],
        "body",
        [],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("Relu", [given], [inner]),
        helper.make_node("If", ["always"], [made], then_branch=body, else_branch=body),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info(made, TensorProto.FLOAT, ["n", 3])],
        [
            numpy_helper.from_array(np.array([1, 2, 3], np.float32), weight),
            numpy_helper.from_array(np.array(True), "always"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "a.onnx")
    examples = RNG.standard_normal((5, 3)).astype(np.float32)
    answers = np.maximum(examples, 0) + np.array([1, 2, 3], np.float32)
    rest = {"layout": "same", "output": None, "examples": examples, "answers": answers, "tolerance": 1e-6, "what": "m"}
    adopt(tmp_path / "a.onnx", tmp_path / "b.onnx", (3,), **rest)
    found = onnx.load(tmp_path / "b.onnx").graph
    assert [item.name for item in (*found.input, *found.output)] == ["input", "output"]


def test_an_operator_that_onnx_does_not_have_is_named(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("StatelessRandomUniformV2", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
    )
    onnx.save(helper.make_model(graph), tmp_path / "a.onnx")
    zeros = np.zeros((1, 3), np.float32)
    with pytest.raises(ModelError, match="m: ONNX has no operator for StatelessRandomUniformV2: take the layer"):
        adopt(
            tmp_path / "a.onnx",
            tmp_path / "b.onnx",
            (3,),
            layout="same",
            output=None,
            examples=zeros,
            answers=zeros,
            tolerance=1,
            what="m",
        )
