"""How examples become a foreign model's input, and the graph that takes them as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepipe.errors import ModelError, ParityError
from edgepipe.onnx.adopt import adopt
from edgepipe.onnx.layout import arranged, layout_of


@pytest.mark.parametrize(
    ("given", "wanted", "pictures", "layout"),
    [
        ((3, 32, 48), (32, 48, 3), True, "nhwc"),
        ((3, 32, 32), (None, None, 3), True, "nhwc"),
        ((3, 32, 32), (3, 32, 32), True, "same"),
        ((3, 3, 3), (3, 3, 3), True, "nhwc"),
        ((3, 3, 3), (3, 3, 3), False, "same"),
        ((32, 32, 3), (32, 32, 3), False, "same"),
        ((1, 8, 8), (64,), True, "flat"),
        ((13,), (13,), False, "same"),
        ((13,), (12,), False, None),
        ((3, 32, 32), (28, 28, 1), True, None),
    ],
)
def test_the_arrangement_follows_from_the_shapes(given, wanted, pictures: bool, layout) -> None:
    assert layout_of(given, wanted, pictures=pictures) == layout
    if layout is not None:
        made = arranged(np.zeros((2, *given)), layout).shape[1:]
        assert all(want in (None, got) for want, got in zip(wanted, made, strict=True))


def channels_last(path: Path, *, early: bool) -> Path:
    """A pointwise convolution on (n, 4, 4, 3), which transposes its input first (`early`) or adds to it first."""
    weight = np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1)
    nodes = [] if early else [helper.make_node("Relu", ["x"], ["r"])]
    nodes += [
        helper.make_node("Transpose", ["x" if early else "r"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 4, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def expected(pictures: np.ndarray, *, early: bool) -> np.ndarray:
    values = pictures if early else np.maximum(pictures, 0)
    return values.mean(axis=(2, 3)) @ np.arange(6, dtype=np.float32).reshape(2, 3).T


@pytest.mark.parametrize("early", [True, False])
def test_channels_last_becomes_channels_first_and_a_transpose_that_undoes_it_goes(tmp_path: Path, early: bool) -> None:
    pictures = np.random.default_rng(0).standard_normal((5, 3, 4, 4)).astype(np.float32)
    facts = adopt(
        channels_last(tmp_path / "a.onnx", early=early),
        tmp_path / "b.onnx",
        (3, 4, 4),
        layout="nhwc",
        output=None,
        examples=pictures,
        answers=expected(pictures, early=early),
        tolerance=1e-5,
        what="it",
    )
    graph = onnx.load(tmp_path / "b.onnx").graph
    assert facts["agreement"] == 1.0
    assert [item.name for item in (*graph.input, *graph.output)] == ["input", "output"]
    assert [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim][1:] == [3, 4, 4]
    assert sum(node.op_type == "Transpose" for node in graph.node) == (0 if early else 2)


def test_other_answers_than_the_frameworks_are_refused(tmp_path: Path) -> None:
    pictures = np.ones((5, 3, 4, 4), np.float32)
    arguments = {"layout": "nhwc", "examples": pictures, "tolerance": 1e-3, "what": "it"}
    source = channels_last(tmp_path / "a.onnx", early=True)
    with pytest.raises(ParityError, match="does not answer as in its framework"):
        adopt(source, tmp_path / "b.onnx", (3, 4, 4), output=None, answers=np.ones((5, 2), np.float32), **arguments)
    with pytest.raises(ModelError, match="no output 'z'"):
        adopt(source, tmp_path / "b.onnx", (3, 4, 4), output="z", answers=np.ones((5, 2), np.float32), **arguments)
