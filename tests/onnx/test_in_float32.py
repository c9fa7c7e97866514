"""Graphs of float16, bfloat16 and float64 come in as float32 graphs, which quantizers know; what cannot is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgepipe.contract import Job, Signature
from edgepipe.data.npz import NpzData
from edgepipe.errors import ModelError
from edgepipe.onnx.answers import session_answers
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.passes.to_float16 import ToFloat16
from edgepipe.sources.onnx_file import OnnxModel

F16, BF16, F32, F64 = TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE
SHAPE = (3, 8, 8)
X = np.random.default_rng(0).standard_normal((12, *SHAPE)).astype(np.float32)
node = helper.make_node


def stored(name: str, kind: int, *shape: int) -> TensorProto:
    value = np.random.default_rng(len(name)).standard_normal(shape) / 4
    return numpy_helper.from_array(value.astype(helper.tensor_dtype_to_np_dtype(kind)), name)


def typed(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape or None)


def network(kind: int, ends: int | None = None, middle: list[NodeProto] | None = None) -> onnx.ModelProto:
    """A layer, what is given (from `a` to `b`), pooling, a layer; with casts at both ends where they differ.

    The runtime has no convolution of float64: the first layer is a matrix product there.
    """
    ends = ends or kind
    product = F64 in (kind, ends)
    channels, shape, op = (3, (8, 6), "MatMul") if product else (16, (16, 3, 3, 3), "Conv")
    first = [node("Cast", ["x"], ["x0"], "in", to=kind)] if ends != kind else []
    nodes = [
        *first,
        node(op, ["x0" if first else "x", "w"], ["a"], "first"),
        *(middle or [node("Relu", ["a"], ["b"], "relu")]),
        node("ReduceMean", ["b"], ["q"], "pool", axes=[2, 3], keepdims=0),
        node("Gemm", ["q", "fc"], ["y0" if first else "y"], "fc"),
        *([node("Cast", ["y0"], ["y"], "out", to=ends)] if first else []),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [typed("x", ends, "n", *SHAPE)],
        [typed("y", ends, "n", 10)],
        [stored("w", kind, *shape), stored("fc", kind, channels, 10)],
    )
    graph.value_info.append(typed("a", kind, *((None,) * 4)))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        labels = np.arange(len(X)) % 10
        for name, images in (("e", X), ("c", X[::-1] * np.float32(1.01))):
            np.savez(folder / f"{name}.npz", images=images, labels=labels)
        self.data = NpzData(evaluation=folder / "e.npz", calibration=folder / "c.npz").open(folder / "cache")

    def job(self, name: str) -> Job:
        (self.folder / name).mkdir()
        return Job(self.folder / name, self.folder, self.data, 0, name)

    def load(self, model: onnx.ModelProto, name: str = "load"):
        onnx.save(model, self.folder / f"{name}.onnx")
        job = self.job(name)
        path = str(self.folder / f"{name}.onnx")
        return OnnxModel(path=path).load(job.out, Signature(input_shape=SHAPE), 0, job), job.facts.get("notes", [])


def types(model: onnx.ModelProto) -> set[int]:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = (*inferred.input, *inferred.output, *inferred.value_info)
    return {item.type.tensor_type.elem_type for item in values} | {item.data_type for item in model.graph.initializer}


def casts(to: int) -> list[NodeProto]:
    """Computed in float32 between two casts, as mixed precision writes it."""
    return [
        node("Cast", ["a"], ["up"], "up", to=F32),
        node("Softplus", ["up"], ["soft"], "soft"),
        node("Cast", ["soft"], ["b"], "down", to=to),
    ]


def branch(kind: int) -> list[NodeProto]:
    then = helper.make_graph(
        [
            node("Constant", [], ["k"], value=stored("k", kind, 1)),
            node("Cast", ["a"], ["a32"], to=F32),
            node("Cast", ["a32"], ["a16"], to=kind),
            node("Mul", ["a16", "k"], ["t"]),
        ],
        "then",
        [],
        [typed("t", kind)],
    )
    other = helper.make_graph([node("Neg", ["a"], ["e"])], "else", [], [typed("e", kind)])
    return [
        node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
        node("If", ["yes"], ["b"], "if", then_branch=then, else_branch=other),
    ]


def made(kind: int) -> list[NodeProto]:
    """Tensors whose type an attribute names."""
    zero = numpy_helper.from_array(np.zeros(1, helper.tensor_dtype_to_np_dtype(kind)))
    return [
        node("Shape", ["a"], ["shape"]),
        node("ConstantOfShape", ["shape"], ["zeros"], value=zero),
        node("RandomNormalLike", ["zeros"], ["noise"], dtype=F32, scale=1e-9, seed=1.0),
        node("CastLike", ["noise", "a"], ["none"]),
        node("Bernoulli", ["zeros"], ["never"], dtype=kind if kind != F16 else F32),
        node("CastLike", ["never", "a"], ["never0"]),
        node("Sum", ["a", "zeros", "none", "never0"], ["b"]),
    ]


MIDDLES = {"relu": lambda _: None, "casts": casts, "branch": branch, "made": made}


@pytest.mark.parametrize("middle", MIDDLES)
@pytest.mark.parametrize(("kind", "ends"), [(F16, F16), (F16, F32), (F64, F64), (F64, F32), (F32, F64)])
def test_other_floats_come_in_as_float32_and_are_quantized(kind: int, ends: int, middle: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    given = network(kind, ends, MIDDLES[middle](kind))
    artifact, notes = desk.load(given)
    came = onnx.load(artifact.onnx)
    assert types(came) <= {F32, TensorProto.INT64, TensorProto.BOOL}
    inner = [item for item in came.graph.node if item.op_type == "Cast"]
    assert not inner, "a cast from float32 to float32 hides constants and keeps layers from being fused"
    wanted = session_answers(desk.folder / "load.onnx")(X)
    assert np.allclose(session_answers(artifact.onnx)(X), wanted, atol=2e-3 * float(np.abs(wanted).max()))
    assert any(("float16" if kind == F16 else "float64") in note and "came in as float32" in note for note in notes)
    if middle == "relu":
        small = QuantizeStatic(keep_float="never").apply(artifact, desk.job("small"))
        assert "QuantizeLinear" in {item.op_type for item in onnx.load(small.onnx).graph.node}


def test_what_to_float16_wrote_comes_in_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    artifact, notes = desk.load(network(F32))
    assert notes == []
    for mode in ("storage", "compute"):
        half = ToFloat16(mode=mode, smallest=1).apply(artifact, desk.job(mode))
        again, notes = desk.load(onnx.load(half.onnx), f"again_{mode}")
        assert [item.op_type for item in onnx.load(again.onnx).graph.node] == [
            item.op_type for item in onnx.load(artifact.onnx).graph.node
        ]
        assert len(notes) == 1


def test_weights_stored_in_bfloat16_come_in_and_a_bfloat16_graph_is_called_that(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    given = network(F32)
    weight = given.graph.initializer[1]
    weight.CopyFrom(stored("fc_half", BF16, 16, 10))
    given.graph.node.insert(0, node("Cast", ["fc_half"], ["fc"], "widen", to=F32))
    artifact, notes = desk.load(given)
    assert types(onnx.load(artifact.onnx)) == {F32}
    assert "bfloat16" in notes[0]
    with pytest.raises(ModelError, match=r"a bfloat16 graph \(edgepipe works on float32\): ONNX Runtime cannot run it"):
        desk.load(network(BF16), "bf16")


def test_a_number_of_float64_makes_no_graph_of_float64(tmp_path: Path) -> None:
    middle = [
        node("Constant", [], ["k"], value=numpy_helper.from_array(np.array(2.0))),
        node("Cast", ["k"], ["k32"], to=F32),
        node("Mul", ["a", "k32"], ["b"]),
    ]
    artifact, notes = Desk(tmp_path).load(network(F32, middle=middle))
    assert notes == []
    assert "Cast" in {item.op_type for item in onnx.load(artifact.onnx).graph.node}


def test_the_least_number_of_float64_masks_as_before(tmp_path: Path) -> None:
    least = numpy_helper.from_array(np.full((1, 1, 8, 6), np.finfo(np.float64).min), "mask")
    middle = [
        node("Constant", [], ["mask"], value=least),
        node("Add", ["a", "mask"], ["masked"]),
        node("Softmax", ["masked"], ["b"], axis=-1),
    ]
    desk = Desk(tmp_path)
    artifact, _ = desk.load(network(F64, middle=middle))
    assert np.isfinite(session_answers(artifact.onnx)(X)).all()


def test_a_graph_that_overflows_in_float16_is_told_to_be_uncompared(tmp_path: Path) -> None:
    big = numpy_helper.from_array(np.float16(6e4))
    middle = [node("Constant", [], ["k"], value=big), node("Mul", ["a", "k"], ["m"]), node("Mul", ["m", "k"], ["b"])]
    artifact, notes = Desk(tmp_path).load(network(F16, middle=middle))
    assert "not compared, for in float16 its answers to drawn examples are not finite" in notes[0]
    assert np.isfinite(session_answers(artifact.onnx)(X)).all()
