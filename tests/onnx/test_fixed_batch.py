"""A graph made for one example at a time is exported for several, or the node that holds the old number is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgepipe.contract import Job, Signature
from edgepipe.data.npz import NpzData
from edgepipe.errors import PassError
from edgepipe.onnx.answers import session_answers
from edgepipe.passes.export import Export
from edgepipe.sources.onnx_file import OnnxModel

node = helper.make_node
X = np.random.default_rng(0).standard_normal((12, 3, 8, 8)).astype(np.float32)


def stored(name: str, *shape: int) -> TensorProto:
    value = np.random.default_rng(len(name)).standard_normal(shape) / 4
    return numpy_helper.from_array(value.astype(np.float32), name)


def sizes(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


CONV = node("Conv", ["x", "w"], ["a"], "conv")  # (1, 16, 6, 6)
POOL = node("GlobalAveragePool", ["a"], ["p"], "pool")  # (1, 16, 1, 1)
LAST = node("Gemm", ["q", "fc"], ["y"], "fc")


def heads() -> list[NodeProto]:
    """Attention as it is traced with a batch of 1: heads in front, then tokens."""
    return [
        CONV,
        node("Reshape", ["a", "s_tokens"], ["t"], "tokens"),
        node("Transpose", ["t"], ["h"], "turn", perm=[0, 2, 1]),
        node("Reshape", ["h", "s_heads"], ["k"], "split"),
        node("Transpose", ["k"], ["kt"], "turn_back", perm=[0, 2, 1]),
        node("MatMul", ["k", "kt"], ["scores"], "scores"),
        node("Softmax", ["scores"], ["share"], "softmax", axis=-1),
        node("MatMul", ["share", "k"], ["mixed"], "mix"),
        node("Reshape", ["mixed", "s_back"], ["joined"], "join"),
        node("ReduceMean", ["joined"], ["q"], "mean", axes=[1], keepdims=0),
        LAST,
    ]


GRAPHS = {
    "both sizes": ([CONV, POOL, node("Reshape", ["p", "s"], ["q"], "flat"), LAST], [sizes("s", 1, 16)]),
    "one worked out": ([CONV, POOL, node("Reshape", ["p", "s"], ["q"], "flat"), LAST], [sizes("s", 1, -1)]),
    "a constant node": (
        [CONV, POOL, node("Constant", [], ["s"], value=sizes("", 1, 16)), node("Reshape", ["p", "s"], ["q"]), LAST],
        [],
    ),
    "a size that is kept": (
        [
            CONV,
            POOL,
            node("Reshape", ["p", "s"], ["r"], "one"),
            node("Squeeze", ["r", "two"], ["q"], "squeeze"),
            LAST,
        ],
        [sizes("s", 1, 0, -1), sizes("two", 2)],
    ),
    "heads in front": (heads(), [sizes("s_tokens", 1, 16, 36), sizes("s_heads", 4, 36, 4), sizes("s_back", 1, 36, 16)]),
    "shared with a weight": (
        [
            CONV,
            node("Reshape", ["bias", "s"], ["b4"], "of_a_weight"),
            node("Add", ["a", "b4"], ["a1"], "add"),
            node("GlobalAveragePool", ["a1"], ["p"], "pool"),
            node("Reshape", ["p", "s"], ["r"], "of_the_input"),
            node("Flatten", ["r"], ["q"], "flat"),
            LAST,
        ],
        [sizes("s", 1, 16, 1, 1), stored("bias", 16)],
    ),
}


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        np.savez(folder / "e.npz", images=X)
        self.data = NpzData(evaluation=folder / "e.npz").open(folder / "cache")

    def load(self, nodes: list[NodeProto], weights: list[TensorProto], batch: int | str = 1):
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 8, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 10])],
            [stored("w", 16, 3, 3, 3), stored("fc", 16, 10), *weights],
        )
        file = self.folder / "m.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
        (self.folder / "load").mkdir()
        return OnnxModel(path=str(file)).load(self.folder / "load", Signature(input_shape=(3, 8, 8)), 0)

    def export(self, artifact, **settings):
        (self.folder / "out").mkdir()
        job = Job(self.folder / "out", self.folder, self.data, 0, "export")
        return Export(**settings).apply(artifact, job), job.facts.get("notes", [])


@pytest.mark.parametrize("batch", ["dynamic", 4])
@pytest.mark.parametrize("kind", GRAPHS)
def test_a_batch_held_in_a_reshape_is_set_free(kind: str, batch: str | int, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    artifact = desk.load(*GRAPHS[kind])
    wanted = session_answers(artifact.onnx)(X)
    out, notes = desk.export(artifact, batch=batch)
    session = ort.InferenceSession(str(out.onnx), providers=["CPUExecutionProvider"])
    for count in (1, 2, 7) if batch == "dynamic" else (4,):
        assert np.allclose(session.run(None, {"x": X[:count]})[0], wanted[:count], atol=1e-5)
    assert "made for a batch of 1: the first size of Reshape" in notes[0]
    assert "of_a_weight" not in notes[0]
    graph = onnx.load(out.onnx).graph
    read = {name for item in graph.node for name in item.input}
    assert {item.name for item in graph.initializer} <= read
    assert all(item.op_type != "Constant" for item in graph.node)


@pytest.mark.parametrize(
    ("nodes", "weights", "said"),
    [
        (  # a token for one example in front of each one's own
            [
                CONV,
                node("Reshape", ["a", "s"], ["t"], "tokens"),
                node("Concat", ["token", "t"], ["both"], "join", axis=2),
                node("ReduceMean", ["both"], ["q"], "mean", axes=[2], keepdims=0),
                LAST,
            ],
            [sizes("s", 1, 16, 36), stored("token", 1, 16, 1)],
            r"with 2 at once its Concat 'join' fails",
        ),
        (  # time in front, the examples behind
            [
                CONV,
                node("Reshape", ["a", "s"], ["t"], "steps"),
                node("ReduceMax", ["t"], ["q"], "top", axes=[0], keepdims=1),
                LAST,
            ],
            [sizes("s", 36, 16)],
            r"with 2 at once no axis of its answers counts them.*holds sizes in Reshape 'steps'",
        ),
    ],
)
def test_what_cannot_be_set_free_is_named_with_the_remedy(nodes, weights, said: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(
        PassError, match=rf"passes\.export\.batch: the graph is made for a batch of 1, and {said}"
    ) as caught:
        desk.export(desk.load(nodes, weights), batch="dynamic")
    assert "dynamic batch, or set passes.export.batch=keep" in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


def test_a_graph_that_only_declares_a_batch_is_only_declared_anew(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    nodes = [CONV, POOL, node("Flatten", ["p"], ["q"], "flat"), LAST]
    out, notes = desk.export(desk.load(nodes, []), batch="dynamic")
    assert notes == []
    assert [item.op_type for item in onnx.load(out.onnx).graph.node] == [item.op_type for item in nodes]
