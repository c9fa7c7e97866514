"""Tables of vectors become int8 rows with a scale each; what is small, shared or not a table stays."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from edgepipe.measure.graph import Graph
from edgepipe.measure.size import parameters
from edgepipe.quant.embeddings import quantize_tables

RNG = np.random.default_rng(0)
TABLE = (RNG.standard_normal((300, 32)) * np.exp(RNG.standard_normal((300, 1)))).astype(np.float32)


def looked_up(table: np.ndarray, *, shared: bool = False) -> onnx.ModelProto:
    nodes = [helper.make_node("Gather", ["t", "ids"], ["g"]), helper.make_node("Relu", ["g"], ["y"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    if shared:
        nodes.append(helper.make_node("Abs", ["t"], ["z"]))
        outputs.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    ids = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", 5])]
    graph = helper.make_graph(nodes, "g", ids, outputs, [numpy_helper.from_array(table, "t")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def answers(model: onnx.ModelProto, ids: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"ids": ids})[0])


def test_each_row_is_right_to_half_of_its_own_step_and_the_bytes_are_a_quarter() -> None:
    model = looked_up(TABLE)
    before, ids = len(model.SerializeToString()), RNG.integers(0, 300, (20, 5))
    wanted = answers(model, ids)
    assert quantize_tables(model) == 1
    steps = np.abs(TABLE[ids]).max(axis=-1, keepdims=True) / 127
    assert (np.abs(answers(model, ids) - wanted) <= 0.501 * steps).all()
    assert len(model.SerializeToString()) < 0.32 * before
    assert parameters(Graph(model, "m")).count >= TABLE.size


def test_small_and_shared_tables_stay_float() -> None:
    for model in (looked_up(TABLE[:20]), looked_up(TABLE, shared=True)):
        content = model.SerializeToString()
        assert quantize_tables(model) == 0
        assert model.SerializeToString() == content
