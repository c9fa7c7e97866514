"""Tables of vectors become int8 rows with a scale each; what is small, shared or not a table stays."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepipe.contract import Job, Split
from edgepipe.contract.artifact import Kind, seal
from edgepipe.measure.size import parameters
from edgepipe.onnx.graph import Graph
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.quant.rewrite.embeddings import quantize_tables
from tests.measure.graphs import Arrays

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


def test_a_table_that_two_gathers_read_is_stored_once_and_read_by_both() -> None:
    model = looked_up(TABLE)
    model.graph.node.insert(1, helper.make_node("Gather", ["t", "ids"], ["again"]))
    model.graph.node.append(helper.make_node("Neg", ["again"], ["z"]))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    before, ids = len(model.SerializeToString()), RNG.integers(0, 300, (20, 5))
    assert quantize_tables(model) == 1
    assert len(model.SerializeToString()) < 0.32 * before
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    one, other = session.run(["y", "z"], {"ids": ids})
    steps = np.abs(TABLE[ids]).max(axis=-1, keepdims=True) / 127
    assert (np.abs(-other - TABLE[ids]) <= 0.501 * steps).all()
    assert np.array_equal(one, np.maximum(-other, 0))


def test_a_table_of_two_gathers_stays_float_whole_where_one_is_excluded() -> None:
    model = looked_up(TABLE)
    model.graph.node.append(helper.make_node("Gather", ["t", "ids"], ["z"], "kept"))
    assert quantize_tables(model, {"kept"}) == 0


class Tokens(Arrays):
    """The same sentences to calibrate on and to judge by."""

    def count(self, split: Split) -> int:
        return 0 if split is Split.TRAIN else len(self.inputs)


def network(table: np.ndarray, *, tied: bool) -> onnx.ModelProto:
    nodes = [helper.make_node("Gather", ["t", "ids"], ["g"]), helper.make_node("MatMul", ["g", "w"], ["m"], name="m")]
    nodes += [helper.make_node("ReduceMean", ["m"], ["p"], axes=[1], keepdims=0)]
    if tied:
        nodes += [helper.make_node("Einsum", ["p", "t"], ["h"], equation="nd,vd->nv")]
        nodes += [helper.make_node("ReduceMean", ["h"], ["q"], axes=[1])]
        nodes += [helper.make_node("Add", ["p", "q"], ["y"])]
    else:
        nodes += [helper.make_node("Identity", ["p"], ["y"])]
    width = table.shape[1]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", width])],
        [
            numpy_helper.from_array(table, "t"),
            numpy_helper.from_array(np.eye(width, dtype=np.float32), "w"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("keep_float", ["never", "auto"])
@pytest.mark.parametrize(("tied", "embeddings"), [(False, True), (False, False), (True, True)])
def test_static_quantization_stores_tables_in_int8_or_says_what_they_weigh(
    tmp_path: Path, tied: bool, embeddings: bool, keep_float: Literal["auto", "never"]
) -> None:
    table = np.random.default_rng(1).standard_normal((8000, 32)).astype(np.float32)  # 1.02 MB
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    onnx.save(network(table, tied=tied), tmp_path / "in" / "model.onnx")
    data = Tokens(RNG.integers(0, 8000, (16, 5)).astype(np.float32), None)
    job = Job(out=tmp_path / "out", state=tmp_path, data=data, seed=0, label="quantize")
    model = seal(tmp_path / "in", Kind.ONNX, data.signature)
    done = QuantizeStatic(keep_float=keep_float, embeddings=embeddings).apply(model, job)
    notes = [str(note) for note in job.facts.get("notes", [])]
    weights = {item.name: item for item in onnx.load(done.onnx).graph.initializer}
    if embeddings and not tied:
        assert job.facts["int8_tables"] == 1
        assert done.onnx.stat().st_size < 0.35 * model.onnx.stat().st_size
        assert not any("table" in note for note in notes)
    else:
        assert weights["t"].data_type == TensorProto.FLOAT
        (said,) = [note for note in notes if "table" in note]
        assert said.startswith("the table 't' stays float, 1.0 MB: ")
        assert ("another node reads it too" in said) == tied
