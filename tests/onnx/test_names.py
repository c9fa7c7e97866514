"""A tensor is called otherwise everywhere: at the ends of a graph, in its nodes, and where subgraphs read it."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgepipe.onnx.names import fresh, make_way, rename, tensor_names
from edgepipe.onnx.session import Session


def branching() -> onnx.ModelProto:
    """`x`, (n, 2), doubled into `a`; `y` is `a` plus 1 where `go`, else `a` minus 1. Both branches read `a`."""

    def branch(kind: str, out: str) -> onnx.GraphProto:
        result = helper.make_tensor_value_info(out, TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(kind, ["a", "one"], [out])], out, [], [result])

    nodes = [
        helper.make_node("Add", ["x", "x"], ["a"]),
        helper.make_node("If", ["go"], ["y"], then_branch=branch("Add", "t"), else_branch=branch("Sub", "e")),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.float32(1), "one")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_a_renamed_tensor_is_read_under_its_new_name_in_subgraphs_too() -> None:
    x = np.float32([[1, 2]])
    for old, new, given, out in (("a", "z", "x", "y"), ("x", "input", "input", "y"), ("y", "out", "x", "out")):
        model = branching()
        rename(model.graph, old, new)
        assert old not in tensor_names(model.graph)
        for go, wanted in ((True, [[3, 5]]), (False, [[1, 3]])):
            assert Session(model.SerializeToString()).run({given: x, "go": np.array(go)})[out].tolist() == wanted


def test_another_tensor_that_has_the_new_name_makes_way() -> None:
    model = branching()
    rename(model.graph, "a", "one")
    assert {"one", "one_inner"} <= tensor_names(model.graph)
    found = Session(model.SerializeToString()).first({"x": np.float32([[1, 2]]), "go": np.array(True)})
    assert found.tolist() == [[3, 5]]
    rename(model.graph, "one", "one")  # called so already
    make_way(model.graph, "nobody")
    assert {"one", "one_inner"} <= tensor_names(model.graph)


def test_a_fresh_name_has_the_first_number_that_is_free() -> None:
    assert fresh("a", ()) == "a"
    assert fresh("a", {"a", "a_1", "a_3"}) == "a_2"
