"""Local functions are written out and sparse weights made dense when an ONNX file comes in; both within bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import AttributeProto, FunctionProto, NodeProto, TensorProto, helper, numpy_helper

from edgepipe.contract import Signature
from edgepipe.errors import ModelError
from edgepipe.onnx.answers import session_answers
from edgepipe.sources.onnx_file import OnnxModel

node = helper.make_node
X = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


def opset(domain: str = "", version: int = 17) -> onnx.OperatorSetIdProto:
    return helper.make_opsetid(domain, version)


def graph(nodes: list[NodeProto], functions: list[FunctionProto] | None = None, **more) -> onnx.ModelProto:
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    made = helper.make_graph(nodes, "g", shapes[:1], shapes[1:], **more)
    return helper.make_model(
        made, opset_imports=[opset(), opset("own", 1)], functions=functions or [], ir_version=9, producer_name="t"
    )


def function(name: str, nodes: list[NodeProto], version: int = 17, domain: str = "own", **more) -> FunctionProto:
    imports = [opset("", version), opset("own", 1), opset("com.microsoft", 1)]
    return helper.make_function(domain, name, ["a"], ["b"], nodes, imports, **more)


def given(name: str, of: str) -> AttributeProto:
    """An attribute that takes the value of the function's attribute."""
    return AttributeProto(name=name, ref_attr_name=of, type=AttributeProto.FLOAT)


def leaky(of: str) -> NodeProto:
    made = node("LeakyRelu", ["a"], ["b"], "leak")
    made.attribute.append(given("alpha", of))
    return made


TWICE = function("Twice", [node("Add", ["a", "a"], ["b"], "add")])
FOUR = function("Four", [node("Twice", ["a"], ["m"], domain="own"), node("Twice", ["m"], ["b"], domain="own")])
INNER = function("Inner", [leaky("alpha")], attributes=["alpha"])
OUTER = function(
    "Outer", [node("Inner", ["a"], ["b"], domain="own")], attribute_protos=[helper.make_attribute("slope", 0.5)]
)
OUTER.node[0].attribute.append(given("alpha", "slope"))


def branching() -> FunctionProto:
    then = helper.make_graph([node("Twice", ["a"], ["t"], domain="own")], "t", [], [onnx.ValueInfoProto(name="t")])
    other = helper.make_graph([node("Neg", ["a"], ["e"])], "e", [], [onnx.ValueInfoProto(name="e")])
    for branch in (then, other):
        branch.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    nodes = [
        node("ReduceMax", ["a"], ["m"], keepdims=0),
        node("Constant", [], ["z"], value_float=0.0),
        node("Greater", ["m", "z"], ["c"]),
        node("If", ["c"], ["b"], then_branch=then, else_branch=other),
    ]
    return function("Branch", nodes)


def call(name: str, *names: str, **attributes) -> NodeProto:
    return node(name, [names[0]], [names[1]], f"call_{names[1]}", domain="own", **attributes)


ONE = numpy_helper.from_array(np.ones(4, np.float32), "b")
GRAPHS = {
    "nested": graph([call("Four", "x", "y")], [FOUR, TWICE]),
    "a default": graph(
        [call("Leaky", "x", "h"), call("Leaky", "h", "y", alpha=0.1)],
        [function("Leaky", [leaky("alpha")], attribute_protos=[helper.make_attribute("alpha", 0.5)])],
    ),
    "a default handed on": graph([call("Outer", "x", "y")], [OUTER, INNER]),
    "an attribute left out": graph([call("Inner", "x", "y")], [INNER]),
    "subgraphs": graph([call("Branch", "x", "h"), call("Branch", "h", "y")], [branching(), TWICE]),
    "names that overlap": graph(
        [call("Four", "x", "m"), node("Add", ["m", "b"], ["a"]), call("Four", "a", "y")],
        [FOUR, TWICE],
        initializer=[ONE],
    ),
    "an older opset": graph([call("Twice", "x", "y")], [function("Twice", [node("Add", ["a", "a"], ["b"])], 13)]),
    "an older opset of an untyped tensor": graph(
        [call("Twice", "x", "h"), call("Twice", "h", "y")], [function("Twice", [node("Add", ["a", "a"], ["b"])], 13)]
    ),
    "another domain": graph(
        [call("Gelu", "x", "y")], [function("Gelu", [node("Gelu", ["a"], ["b"], domain="com.microsoft")])]
    ),
    "the name of an operator": graph(
        [node("Relu", ["x"], ["y"])], [function("Relu", [node("Neg", ["a"], ["b"])], domain="")]
    ),
    "never called": graph([node("Neg", ["x"], ["y"])], [TWICE]),
}


def load(network: onnx.ModelProto, folder: Path, job=None):
    onnx.save(network, folder / "m.onnx")
    (folder / "out").mkdir()
    return OnnxModel(path=str(folder / "m.onnx")).load(folder / "out", Signature(input_shape=(4,)), 0, job)


def answers(network: onnx.ModelProto) -> np.ndarray:
    session = ort.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})[0]


@pytest.mark.parametrize("kind", GRAPHS)
def test_local_functions_are_written_out(kind: str, tmp_path: Path) -> None:
    artifact = load(GRAPHS[kind], tmp_path)
    assert not onnx.load(artifact.onnx).functions
    assert np.allclose(session_answers(artifact.onnx)(X), answers(GRAPHS[kind]), rtol=1e-6)


def test_nodes_in_any_order_are_put_in_order(tmp_path: Path) -> None:
    network = graph([node("Add", ["h", "x"], ["y"]), node("Neg", ["r"], ["h"]), node("Relu", ["x"], ["r"])])
    artifact = load(network, tmp_path)
    assert [item.op_type for item in onnx.load(artifact.onnx).graph.node] == ["Relu", "Neg", "Add"]
    assert np.allclose(session_answers(artifact.onnx)(X), answers(network), rtol=1e-6)


def test_nodes_in_a_ring_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"its nodes read each other in a ring: (h -> y -> h|y -> h -> y)"):
        load(graph([node("Neg", ["y"], ["h"]), node("Add", ["h", "x"], ["y"])]), tmp_path)


def doubling(depth: int, stored: int = 0) -> onnx.ModelProto:
    """Functions that each call the next one twice: two to the power of `depth` additions."""
    functions = [function(f"F{depth}", [node("Add", ["a", "a"], ["b"])])]
    if stored:
        ones = numpy_helper.from_array(np.ones((stored, 4), np.float32))
        functions[0].node.append(node("Constant", [], ["unread"], value=ones))
    for level in range(depth):
        calls = [node(f"F{level + 1}", [read], [made], domain="own") for read, made in (("a", "m"), ("m", "b"))]
        functions.append(function(f"F{level}", calls))
    return graph([call("F0", "x", "y")], functions)


@pytest.mark.parametrize(("depth", "stored"), [(17, 0), (600, 0), (13, 100_000)])
def test_functions_that_double_are_counted_and_not_written_out(depth: int, stored: int, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"written out, its local functions are .* nodes and .* bytes"):
        load(doubling(depth, stored), tmp_path)


def test_functions_in_a_ring_are_refused(tmp_path: Path) -> None:
    ring = [function(name, [node(other, ["a"], ["b"], domain="own")]) for name, other in ("AB", "BA")]
    with pytest.raises(ModelError, match=r"call each other in a ring: (A -> B -> A|B -> A -> B)"):
        load(graph([call("A", "x", "y")], ring), tmp_path)


def sparse(indices: list, dims: tuple[int, int] = (4, 4), name: str = "w") -> onnx.SparseTensorProto:
    values = np.arange(1, len(indices) + 1, dtype=np.float32)
    places = numpy_helper.from_array(np.array(indices, np.int64), f"{name}_at")
    return helper.make_sparse_tensor(numpy_helper.from_array(values, name), places, dims)


@pytest.mark.parametrize(
    ("where", "indices"),
    [("initializer", [1, 15]), ("initializer", []), ("constant", [[0, 1], [3, 3]]), ("function", [1, 15])],
)
def test_sparse_weights_are_made_dense(indices: list, where: str, tmp_path: Path) -> None:
    product = node("MatMul", ["x", "w"], ["y"])
    if where == "initializer":
        network = graph([product], sparse_initializer=[sparse(indices)])
    elif where == "constant":
        network = graph([node("Constant", [], ["w"], sparse_value=sparse(indices)), product])
    else:
        inside = [node("Constant", [], ["w"], sparse_value=sparse(indices)), node("MatMul", ["a", "w"], ["b"])]
        network = graph([call("F", "x", "y")], [function("F", inside)])
    artifact = load(network, tmp_path)
    dense = np.zeros(16, np.float32)
    dense[[1, 15] if indices else []] = [1, 2][: len(indices)]
    assert np.allclose(session_answers(artifact.onnx)(X), X @ dense.reshape(4, 4), rtol=1e-6)
    assert not onnx.load(artifact.onnx).graph.sparse_initializer


def test_a_sparse_weight_beyond_reason_is_refused(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("ReduceMax", ["h"], ["m"], axes=[1]),
        node("Add", ["m", "x"], ["y"]),
    ]
    with pytest.raises(ModelError, match=r"its sparse weights are 160,000,000 bytes when dense"):
        load(graph(nodes, sparse_initializer=[sparse([1, 15], (4, 10_000_000))]), tmp_path)


@pytest.mark.parametrize("indices", [[1, 16], [-1, 3], [[0, 1], [4, 0]]])
def test_sparse_indices_beside_the_weight_are_refused(indices: list, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the indices of its sparse weight 'w' do not fit its shape"):
        load(graph([node("MatMul", ["x", "w"], ["y"])], sparse_initializer=[sparse(indices)]), tmp_path)
