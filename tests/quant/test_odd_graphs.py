"""Graphs as other tools write them: subgraphs, names that collide, odd biases, inputs that hardly vary."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError

from edgepipe.bundle.build import answers
from edgepipe.contract import Job, Pass, Signature
from edgepipe.contract.artifact import ONNX_FILE, Artifact
from edgepipe.data.npz import NpzData
from edgepipe.errors import ModelError, PassError
from edgepipe.onnx import written
from edgepipe.onnx.answers import session_answers
from edgepipe.onnx.graph import Graph
from edgepipe.onnx.session import Session
from edgepipe.passes.quantize_dynamic import QuantizeDynamic
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.passes.quantize_weights import QuantizeWeights
from edgepipe.passes.to_float16 import ToFloat16
from edgepipe.quant.place.placement import Wiring, clip_behind
from edgepipe.sources.onnx_file import OnnxModel
from edgepipe.verify import worker
from edgepipe.verify.inputs import write_inputs

node = helper.make_node


def weight(name: str, *shape: int, scale: float = 1.0) -> TensorProto:
    drawn = np.random.default_rng(zlib.crc32(name.encode()))
    fan = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    value = drawn.standard_normal(shape) * scale / np.sqrt(max(1, fan))
    return numpy_helper.from_array(value.astype(np.float32), name)


def shaped(name: str, *shape: int | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


class Desk:
    """Random arrays, and passes one after the other on a hand-made graph."""

    def __init__(self, folder: Path, inputs: NDArray[np.float32]) -> None:
        self.folder, self.inputs = folder, inputs.astype(np.float32)
        labels = np.arange(len(inputs)) % 10
        np.savez(folder / "e.npz", images=self.inputs, labels=labels)
        np.savez(folder / "c.npz", images=self.inputs[::-1] * np.float32(1.001), labels=labels)
        self.data = NpzData(evaluation=folder / "e.npz", calibration=folder / "c.npz").open(folder / "cache")

    def load(
        self, nodes: list[onnx.NodeProto], stored: list[TensorProto], output: str = "y", **more: object
    ) -> Artifact:
        shape: list[object] = [more.get("batch"), *self.inputs.shape[1:]]
        outputs = more.get("outputs", [shaped(output, None, 10)])
        inputs = [shaped("x", *shape), *more.get("inputs", [])]  # type: ignore[misc]
        graph = helper.make_graph(nodes, "g", inputs, outputs, stored)
        file = self.folder / "given.onnx"
        opsets = [helper.make_opsetid("", more.get("opset", 17)), helper.make_opsetid("com.microsoft", 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), file)
        return OnnxModel(path=str(file)).load(
            self._new("load"), Signature(input_shape=self.inputs.shape[1:], classes=tuple("0123456789")), 0
        )

    def _new(self, name: str) -> Path:
        path = self.folder / f"{name}{len(list(self.folder.iterdir()))}"
        path.mkdir()
        return path

    def run(self, model: Artifact, *passes: Pass) -> tuple[Artifact, Job]:
        for one in passes:
            job = Job(self._new("out"), self._new("state"), self.data, 0, "it")
            model = one.apply(model, job)
        return model, job

    def error(self, model: Artifact, other: Artifact) -> float:
        """Largest difference of two models' answers, as a share of the largest answer."""
        one, two = (np.asarray(session_answers(item.onnx)(self.inputs), np.float64) for item in (model, other))
        return float(np.abs(one - two).max() / np.abs(one).max())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, np.random.default_rng(5).standard_normal((40, 3, 16, 16)))


def head(read: str, channels: int) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    nodes = [
        node("GlobalAveragePool", [read], ["pooled"], "pool"),
        node("Flatten", ["pooled"], ["flat"], "flatten"),
        node("Gemm", ["flat", "fc_w"], ["y"], "fc"),
    ]
    return nodes, [weight("fc_w", channels, 10)]


def branching() -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """Two convolutions in a row; what is between them, and a constant, are read inside an If as well."""
    shape = (None, 16, 14, 14)
    then = helper.make_graph([node("Mul", ["between", "outer"], ["t"])], "t", [], [shaped("t", *shape)])
    other = helper.make_graph([node("Add", ["between", "outer"], ["e"])], "e", [], [shaped("e", *shape)])
    first = numpy_helper.to_array(weight("w1", 16, 3, 3, 3))
    uneven = numpy_helper.from_array((np.geomspace(0.01, 10, 16).reshape(16, 1, 1, 1) * first).astype("f"), "w1")
    last, stored = head("sum", 16)
    nodes = [
        node("Conv", ["x", "w1"], ["a"], "first"),
        node("Relu", ["a"], ["between"], "relu"),
        node("Conv", ["between", "w2"], ["b"], "second", pads=[1] * 4),
        node("ReduceMean", ["x"], ["mean"], "mean", keepdims=0),
        node("Greater", ["mean", "zero"], ["condition"], "greater"),
        node("If", ["condition"], ["chosen"], "if", then_branch=then, else_branch=other),
        node("Add", ["chosen", "b"], ["sum"], "add"),
        *last,
    ]
    zero = numpy_helper.from_array(np.float32(0), "zero")
    return nodes, [uneven, weight("w2", 16, 16, 3, 3), weight("outer", 1, 16, 1, 1, scale=3), zero, *stored]


@pytest.mark.parametrize("preset", ["fast", "accurate"])
def test_what_a_subgraph_reads_is_neither_removed_nor_rescaled(desk: Desk, preset: str) -> None:
    model = desk.load(*branching())
    small, _ = desk.run(model, QuantizeStatic(preset=preset, keep_float="never"))
    assert desk.error(model, small) < 0.05
    signature = Signature(input_shape=desk.inputs.shape[1:])
    golden = answers(small.onnx, {"x": desk.inputs[:2]}, signature, exact=True)
    assert all(np.isfinite(value).all() for value in golden.values()), "golden outputs of a bundle"
    verified = desk.folder / "verified"
    verified.mkdir()
    write_inputs(verified, small.onnx, signature, [{"x": desk.inputs[:2].astype(np.float32)}], 2)
    worker.main(str(small.onnx), verified, verified, 0, 2, True)
    assert np.isfinite(np.load(verified / "0.npy")).all(), "the reference of `verify`"
    for one in (QuantizeDynamic(), QuantizeWeights(smallest=16, bits=8)):
        assert desk.error(model, desk.run(model, one)[0]) < 0.1


def test_names_that_quantizing_would_give_are_free(desk: Desk) -> None:
    last, stored = head("scaled", 16)
    nodes = [
        node("Conv", ["x", "x_quantized"], ["z"], "Conv_2"),
        node("Mul", ["z", "z_scale"], ["z_dequantized"], ""),
        node("Conv", ["z_dequantized", "z_zero_point"], ["scaled"], ""),
        *last,
    ]
    scale = numpy_helper.from_array(np.float32(2.5), "z_scale")
    model = desk.load(nodes, [weight("x_quantized", 16, 3, 3, 3), scale, weight("z_zero_point", 16, 16, 3, 3), *stored])
    for passes in ((QuantizeStatic(keep_float="never"),), (QuantizeStatic(preset="accurate"), ToFloat16(smallest=1))):
        small, _ = desk.run(model, *passes)
        assert desk.error(model, small) < 0.05
        names = [item.name for item in onnx.load(small.onnx).graph.node]
        assert len(set(names)) == len(names)


def test_a_gemm_whose_bias_is_one_for_each_row_stays_float(tmp_path: Path) -> None:
    desk = Desk(tmp_path, np.random.default_rng(5).standard_normal((40, 64)))
    bias = numpy_helper.from_array(np.array([[5.0]], np.float32), "c")
    rows = numpy_helper.from_array(np.array([[9.0], [-9.0], [7.0], [0.0]], np.float32), "c")
    first, second = node("Gemm", ["x", "w", "c"], ["y"], "g"), [weight("w", 64, 4)]
    fine = desk.load([first], [*second, bias], outputs=[shaped("y", None, 4)])
    assert desk.error(fine, desk.run(fine, QuantizeStatic(keep_float="never"))[0]) < 0.05
    odd = desk.load([first], [*second, rows], outputs=[shaped("y", 4, 4)], batch=4)
    _, job = desk.run(odd, QuantizeStatic(keep_float="never"))
    assert "('g': its bias is not one for each output channel)" in str(job.facts["notes"])


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_accurate_takes_inputs_that_hardly_vary_beside_their_mean(tmp_path: Path, offset: float) -> None:
    desk = Desk(tmp_path, np.random.default_rng(5).standard_normal((40, 3, 16, 16)) * (1 if offset else 1e-6) + offset)
    last, stored = head("b", 16)
    nodes = [
        node("Conv", ["x", "w1", "shift"], ["a"], "first", pads=[1] * 4),
        node("Relu", ["a"], ["r"], "relu"),
        node("Conv", ["r", "w2"], ["b"], "second"),
        *last,
    ]
    shift = numpy_helper.from_array(np.full(16, 300, np.float32), "shift")
    model = desk.load(nodes, [weight("w1", 16, 3, 3, 3), shift, weight("w2", 16, 16, 3, 3), *stored])
    assert desk.error(model, desk.run(model, QuantizeStatic(preset="accurate", keep_float="never"))[0]) < 0.05


def test_dynamic_leaves_products_with_a_weight_of_three_axes_float(tmp_path: Path) -> None:
    desk = Desk(tmp_path, np.random.default_rng(5).standard_normal((40, 12, 64)))
    nodes = [
        node("MatMul", ["x", "w3"], ["a"], "three"),
        node("MatMul", ["a", "w2"], ["b"], "two"),
        node("ReduceMean", ["b"], ["y"], "mean", axes=[1], keepdims=0),
    ]
    model = desk.load(nodes, [weight("w3", 1, 64, 48), weight("w2", 48, 10)])
    small, job = desk.run(model, QuantizeDynamic())
    assert job.facts["int8_nodes"] == 1
    assert desk.error(model, small) < 0.1


def test_weights_that_are_listed_as_inputs_are_weights(desk: Desk) -> None:
    last, stored = head("a", 16)
    first = weight("w1", 16, 3, 3, 3)
    listed = [shaped("w1", 16, 3, 3, 3), shaped("fc_w", 16, 10)]
    model = desk.load([node("Conv", ["x", "w1"], ["a"], "first"), *last], [first, *stored], inputs=listed)
    for one in (ToFloat16(), QuantizeWeights(smallest=16, bits=8), QuantizeStatic(keep_float="never")):
        small, _ = desk.run(model, one)
        assert [item.name for item in onnx.load(small.onnx).graph.input] == ["x"]
        assert desk.error(model, small) < 0.1


def test_a_model_with_two_outputs_is_quantized_with_both(desk: Desk) -> None:
    last, stored = head("a", 8)
    nodes = [node("Conv", ["x", "w1"], ["a"], "first"), *last]
    outputs = [shaped("y", None, 10), shaped("flat", None, 8), shaped("a", None, 8, 14, 14)]
    model = desk.load(nodes, [weight("w1", 8, 3, 3, 3), *stored], outputs=outputs)
    assert [(item.name, item.shape) for item in model.signature.outputs] == [
        ("y", (10,)),
        ("flat", (8,)),
        ("a", (8, 14, 14)),
    ]
    for settings in (QuantizeStatic(keep_float="never"), QuantizeStatic(keep_float="never", keep_worst=1)):
        small, job = desk.run(model, settings)
        assert job.facts["int8_nodes"] > 0
        before, now = (Session(item.onnx).run(desk.inputs[:4]) for item in (model, small))
        assert list(now) == ["y", "flat", "a"]
        for name, value in now.items():
            assert np.abs(value - before[name]).max() < 0.1 * np.abs(before[name]).max()


def test_a_model_whose_output_is_its_input_is_refused(desk: Desk) -> None:
    last, stored = head("x", 3)
    with pytest.raises(ModelError, match="its output 'x' is its input"):
        desk.load(last, stored, outputs=[shaped("x", None, 3, 16, 16)])


def test_an_excluded_relu_is_not_performed_by_the_range_before_it(desk: Desk) -> None:
    last, stored = head("b", 16)
    nodes = [
        node("Conv", ["x", "w1"], ["a"], "first"),
        node("Relu", ["a"], ["r"], "relu"),
        node("Conv", ["r", "w2"], ["b"], "second"),
        *last,
    ]
    model = desk.load(nodes, [weight("w1", 16, 3, 3, 3), weight("w2", 16, 16, 3, 3), *stored])
    usual, _ = desk.run(model, QuantizeStatic(keep_float="never"))
    apart, _ = desk.run(model, QuantizeStatic(keep_float="never", exclude=("relu",)))
    quantized = [
        {item.input[0] for item in onnx.load(one.onnx).graph.node if item.op_type == "QuantizeLinear"}
        for one in (usual, apart)
    ]
    assert "a" not in quantized[0]
    assert "a" in quantized[1]
    assert desk.error(model, apart) < 0.05


@pytest.mark.parametrize("preset", ["fast", "accurate"])
@pytest.mark.parametrize("batch", [None, 1])
def test_a_blank_calibration_example_is_one_example(tmp_path: Path, preset: str, batch: int | None) -> None:
    inputs = np.random.default_rng(5).standard_normal((51, 3, 12, 12))
    desk = Desk(tmp_path, inputs)
    calibration = np.insert(inputs[:50] * 1.001, 50, 0.0, axis=0)  # the blank one is a batch of its own
    np.savez(tmp_path / "c.npz", images=calibration.astype("f"), labels=np.arange(51) % 10)
    desk.data = NpzData(evaluation=tmp_path / "e.npz", calibration=tmp_path / "c.npz").open(tmp_path / "cache2")
    last, stored = head("r", 16)
    nodes = [node("Conv", ["x", "w1"], ["a"], "first"), node("Relu", ["a"], ["r"], "relu"), *last]
    model = desk.load(nodes, [weight("w1", 16, 3, 3, 3), *stored], batch=batch)
    small, _ = desk.run(model, QuantizeStatic(preset=preset, keep_float="never"))
    if batch is None:
        assert desk.error(model, small) < 0.05
        return
    one, two = (
        np.concatenate([session_answers(item.onnx)(row[None].astype("f")) for row in inputs]) for item in (model, small)
    )
    assert np.abs(one - two).max() < 0.05 * np.abs(one).max()


def test_a_pool_that_has_no_int8_kernel_stays_float(desk: Desk) -> None:
    last, stored = head("b", 64)
    nodes = [
        node("Conv", ["x", "w1"], ["a"], "first"),
        node("Relu", ["a"], ["r"], "relu"),
        node("AveragePool", ["r"], ["pooled_apart"], "apart", kernel_shape=[2, 2], dilations=[2, 2], strides=[2, 2]),
        node("Conv", ["pooled_apart", "w2"], ["b"], "second"),
        *last,
    ]
    model = desk.load(nodes, [weight("w1", 64, 3, 3, 3), weight("w2", 64, 64, 3, 3), *stored], opset=19)
    small, _ = desk.run(model, QuantizeStatic(keep_float="never"))
    assert desk.error(model, small) < 0.05


@pytest.mark.parametrize("end", ["Flatten", "Reshape"])
def test_scores_behind_a_final_sigmoid_are_not_tied(desk: Desk, end: str) -> None:
    nodes = [
        node("Conv", ["x", "w1"], ["a"], "first"),
        node("Relu", ["a"], ["r"], "relu"),
        node("GlobalAveragePool", ["r"], ["pooled"], "pool"),
        node("Conv", ["pooled", "w2", "b2"], ["scores"], "second"),
        node("Sigmoid", ["scores"], ["shares"], "sigmoid"),
        node(end, ["shares", "shape"][: 1 + (end == "Reshape")], ["y"], "end"),
    ]
    bias = numpy_helper.from_array(np.linspace(-14, -9, 10).astype("f"), "b2")
    shape = numpy_helper.from_array(np.array([-1, 10]), "shape")
    model = desk.load(nodes, [weight("w1", 16, 3, 3, 3), weight("w2", 10, 16, 1, 1), bias, shape])
    small, _ = desk.run(model, QuantizeStatic(keep_float="never"))
    wanted, got = (session_answers(item.onnx)(desk.inputs) for item in (model, small))
    assert (wanted.argmax(1) == got.argmax(1)).mean() > 0.9
    assert np.allclose(np.log(wanted), np.log(got), atol=0.2)


def test_a_clip_with_a_computed_bound_is_no_part_of_a_range(desk: Desk) -> None:
    last, stored = head("c", 64)
    nodes = [
        node("ReduceMax", ["x"], ["most"], "most", keepdims=0),
        node("Conv", ["x", "w1"], ["a"], "first"),
        node("Clip", ["a", "zero", "most"], ["c"], "clip"),
        *last,
    ]
    zero = numpy_helper.from_array(np.float32(0), "zero")
    model = desk.load(nodes, [weight("w1", 64, 3, 3, 3), zero, *stored])
    small, _ = desk.run(model, QuantizeStatic(keep_float="never"))
    assert desk.error(model, small) < 0.05
    assert clip_behind(onnx.load(model.onnx).graph.node[1], Wiring(onnx.load(model.onnx))) is None


@pytest.mark.parametrize("inner", ["scaled", "first_scale", "a_scale"])
def test_operators_and_names_of_an_if_only(desk: Desk, inner: str) -> None:
    """A domain that only a branch uses stays imported; a branch may call its tensors what quantizing would."""
    shape = (None, 16, 14, 14)
    then = helper.make_graph([node("Gelu", ["a"], ["t"], domain="com.microsoft")], "t", [], [shaped("t", *shape)])
    body = [node("Mul", ["a", "a"], [inner]), node("Add", [inner, "a"], ["e"])]
    other = helper.make_graph(body, "e", [], [shaped("e", *shape)])
    last, stored = head("b", 16)
    nodes = [
        node("Conv", ["x", "w1"], ["a"], "first"),
        node("ReduceMean", ["x"], ["mean"], "mean", keepdims=0),
        node("Greater", ["mean", "zero"], ["condition"], "greater"),
        node("If", ["condition"], ["chosen"], "if", then_branch=then, else_branch=other),
        node("Conv", ["chosen", "w2"], ["b"], "second"),
        *last,
    ]
    zero = numpy_helper.from_array(np.float32(0), "zero")
    model = desk.load(nodes, [weight("w1", 16, 3, 3, 3), weight("w2", 16, 16, 3, 3), zero, *stored])
    small, _ = desk.run(model, QuantizeStatic(keep_float="never"))
    assert desk.error(model, small) < 0.05


def test_float16_leaves_bounds_and_what_it_would_round_away_in_float32(desk: Desk) -> None:
    last, stored = head("c", 16)
    nodes = [node("Clip", ["x", "least"], ["x2"], "clip"), node("Conv", ["x2", "w1"], ["a"], "first")]
    nodes += [node("Mul", ["a", "many"], ["c"], "mul"), *last]
    least = numpy_helper.from_array(np.float32(-3.4e38), "least")
    tiny = weight("w1", 16, 3, 3, 3, scale=1e-6)
    model = desk.load(nodes, [least, tiny, numpy_helper.from_array(np.float32(1e6), "many"), *stored])
    small, job = desk.run(model, ToFloat16())
    assert desk.error(model, small) < 1e-3
    assert job.facts["tensors"] == 1


def test_layers_kept_float_are_stored_in_float16_and_not_computed_in_it(desk: Desk) -> None:
    last, stored = head("a", 64)
    model = desk.load([node("Conv", ["x", "w1"], ["a"], "first"), *last], [weight("w1", 64, 3, 3, 3), *stored])
    small, _ = desk.run(model, QuantizeStatic(keep_float="never", keep_worst=1))
    stored16, _ = desk.run(small, ToFloat16())
    assert (stored16.path / ONNX_FILE).stat().st_size < (small.path / ONNX_FILE).stat().st_size
    assert desk.error(small, stored16) < 0.01
    with pytest.raises(PassError, match=r"quantized already.*mode=storage"):
        desk.run(small, ToFloat16(mode="compute"))


FLOAT_ONLY = {
    "an operator that has no float16": [node("Celu", ["a"], ["b"], "curve")],
    "a test that has no float16": [
        node("IsInf", ["a"], ["c"], "test"),
        node("Where", ["c", "x1", "a"], ["b"], "where"),
    ],
    "a constant of plain numbers": [
        node("Constant", [], ["k"], value_float=2.0),
        node("Mul", ["a", "k"], ["b"], "mul"),
    ],
    "constants of plain numbers": [
        node("Constant", [], ["k"], value_floats=[2.0] * 14),
        node("Mul", ["a", "k"], ["b"], "mul"),
    ],
    "an operator of com.microsoft": [node("QuickGelu", ["a"], ["b"], "gelu", domain="com.microsoft")],
}


@pytest.mark.parametrize("between", FLOAT_ONLY)
@pytest.mark.parametrize("where", ["graph", "branch"])
def test_what_float16_writes_opens(desk: Desk, between: str, where: str) -> None:
    last, stored = head("b", 16)
    nodes = [node("Conv", ["x", "w1"], ["a"], "first")]
    if where == "graph":
        nodes += FLOAT_ONLY[between]
    else:
        shape = (None, 16, 14, 14)
        then = helper.make_graph(FLOAT_ONLY[between], "t", [], [shaped("b", *shape)])
        other = helper.make_graph([node("Neg", ["a"], ["n"])], "n", [], [shaped("n", *shape)])
        nodes += [
            node("ReduceMax", ["x"], ["top"], "top", keepdims=0),
            node("Greater", ["top", "zero"], ["condition"], "greater"),
            node("If", ["condition"], ["chosen"], "if", then_branch=then, else_branch=other),
        ]
        last, stored = head("chosen", 16)
    constants = [numpy_helper.from_array(np.float32(0), "zero"), numpy_helper.from_array(np.float32(1), "x1")]
    model = desk.load([*nodes, *last], [weight("w1", 16, 3, 3, 3), *constants, *stored])
    if where == "branch" and "that has no" in between:
        with pytest.raises(PassError, match=r"inside of an If.* stands (Celu|IsInf) .*mode=storage"):
            desk.run(model, ToFloat16(mode="compute"))
        assert desk.error(model, desk.run(model, ToFloat16())[0]) < 0.01
        return
    small, _ = desk.run(model, ToFloat16(mode="compute"))
    assert desk.error(model, small) < 0.01


def test_a_pass_that_writes_what_the_runtime_does_not_open_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    broken = helper.make_model(
        helper.make_graph([node("Mystery", ["x"], ["y"])], "g", [shaped("x", 1)], [shaped("y", 1)]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    with pytest.raises(PassError, match=r"passes.it: ONNX Runtime cannot open what was written: .*Mystery"):
        written.write(broken, tmp_path / "m.onnx", "passes.it")
    assert list(tmp_path.iterdir()) == []


def test_a_model_larger_than_one_file_is_refused_with_both_sizes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    last, stored = head("a", 64)
    model = desk.load([node("Conv", ["x", "w1"], ["a"], "first"), *last], [weight("w1", 64, 3, 3, 3), *stored])
    monkeypatch.setattr(written, "LARGEST_BYTES", 3000)
    with pytest.raises(PassError, match=r"passes.it: its weights take 0.0 GB; an ONNX file .* holds 0.0 GB"):
        desk.run(model, ToFloat16())


@pytest.mark.parametrize("size", [-1, 0])
def test_an_axis_of_minus_one_or_zero_is_any_size(desk: Desk, size: int) -> None:
    last, stored = head("a", 16)
    nodes = [node("Conv", ["x", "w1"], ["a"], "first"), *last]
    outputs = [shaped("y", size, 10)]
    model = desk.load(nodes, [weight("w1", 16, 3, 3, 3), *stored], batch=size, outputs=outputs)
    graph = onnx.load(model.onnx).graph
    assert [item.type.tensor_type.shape.dim[0].WhichOneof("value") for item in (*graph.input, *graph.output)] == [
        None
    ] * 2
    small, _ = desk.run(model, QuantizeStatic(keep_float="never"))
    assert desk.error(model, small) < 0.05
    given = Graph.load(desk.folder / "given.onnx")
    assert given.batch((3, 16, 16)) == 1
    assert given.shapes((3, 16, 16), {"a"})["a"] == (1, 16, 14, 14)


def test_dynamic_takes_operators_of_com_microsoft(tmp_path: Path) -> None:
    desk = Desk(tmp_path, np.random.default_rng(5).standard_normal((40, 64)))
    nodes = [
        node("MatMul", ["x", "w1"], ["a"]),
        node("Gelu", ["a"], ["g"], domain="com.microsoft"),
        node("MatMul", ["g", "w2"], ["b"]),
        node("Add", ["b", "c"], ["y"]),
    ]
    model = desk.load(nodes, [weight("w1", 64, 256), weight("w2", 256, 10), weight("c", 10)])
    small, job = desk.run(model, QuantizeDynamic())
    assert job.facts["int8_nodes"] == 2
    assert desk.error(model, small) < 0.05


def test_true_is_no_number_of_a_pass() -> None:
    with pytest.raises(ValidationError, match=r"keep_worst\n  Value error, a number is wanted"):
        QuantizeStatic(keep_worst=True)


@pytest.mark.parametrize("kept", [False, True])
def test_equalizing_balances_the_branches_of_a_concat(desk: Desk, kept: bool) -> None:
    """One branch a hundredth of the other, and read with weights a hundred times theirs: one scale fits neither."""
    last, stored = head("c", 16)
    nodes = [
        node("Conv", ["x", "w1"], ["first"], "first"),
        node("Relu", ["first"], ["r"], "relu"),
        node("Conv", ["r", "wa"], ["a"], "a", pads=[1] * 4),
        node("Conv", ["r", "wb"], ["b0"], "b", pads=[1] * 4),
        node("Relu", ["b0"], ["b"], "relu_b"),
        node("Concat", ["r", "a", "b"] if kept else ["a", "b"], ["ab"], "concat", axis=1),
        node("Conv", ["ab", "wc"], ["c"], "c"),
        *last,
    ]
    parts = [weight("wc0", 16, 16, 3, 3)] * kept + [
        weight("wc1", 16, 16, 3, 3, scale=10),
        weight("wc2", 16, 16, 3, 3, scale=0.1),
    ]
    reading = numpy_helper.from_array(np.concatenate([numpy_helper.to_array(part) for part in parts], axis=1), "wc")
    made = [weight("wa", 16, 16, 3, 3, scale=0.1), weight("wb", 16, 16, 3, 3, scale=10)]
    model = desk.load(nodes, [weight("w1", 16, 3, 3, 3), *made, reading, *stored])
    plain, _ = desk.run(model, QuantizeStatic(keep_float="never", far_apart="int8"))
    balanced, job = desk.run(model, QuantizeStatic(keep_float="never", equalize=True))
    assert job.facts["equalized"] == 1
    assert desk.error(model, balanced) < 0.05
    assert desk.error(model, balanced) < 0.3 * desk.error(model, plain)


class Tokens(Desk):
    """The same with numbers of words for inputs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, np.random.default_rng(3).integers(0, 200, (40, 12)).astype("f"))


def embedded(desk: Desk, *nodes: onnx.NodeProto, stored: list[TensorProto]) -> Artifact:
    """Word vectors of 64, what is given, and ten answers from `mixed`, (n, 12, 64)."""
    last = [node("ReduceMean", ["mixed"], ["mean"], "mean", axes=[1], keepdims=0)]
    last.append(node("Gemm", ["mean", "fc_w"], ["y"], "fc"))
    first = [node("Cast", ["x"], ["ids"], "cast", to=TensorProto.INT64), node("Gather", ["E", "ids"], ["e"], "emb")]
    table = weight("E", 200, 64, scale=8)
    return desk.load([*first, *nodes, *last], [table, weight("fc_w", 64, 10), *stored])


def test_dynamic_takes_weights_that_several_products_share(tmp_path: Path) -> None:
    desk = Desk(tmp_path, np.random.default_rng(5).standard_normal((40, 64)))
    shared = [
        node("Gemm", ["x", "w", "b"], ["h1"], "one", transB=1),
        node("Relu", ["h1"], ["r1"], "relu"),
        node("Gemm", ["r1", "w"], ["h2"], "two", transB=1),
        node("MatMul", ["h2", "w"], ["h3"], "three"),
        node("Gemm", ["h3", "fc_w"], ["y"], "fc"),
    ]
    model = desk.load(shared, [weight("w", 64, 64), weight("b", 64), weight("fc_w", 64, 10)])
    small, _ = desk.run(model, QuantizeDynamic())
    assert desk.error(model, small) < 0.05
    twins = [
        node("Gemm", ["x", "w"], ["h1"], "one", transB=1),
        node("Neg", ["x"], ["minus"], "minus"),
        node("Gemm", ["minus", "w"], ["h2"], "two", transB=1),
        node("Mul", ["h1", "h2"], ["h3"], "mul"),
        node("Gemm", ["h3", "fc_w"], ["y"], "fc"),
    ]
    model = desk.load(twins, [weight("w", 32, 64), weight("fc_w", 32, 10)])
    assert desk.error(model, desk.run(model, QuantizeDynamic())[0]) < 0.05


def test_dynamic_takes_a_product_directly_behind_word_vectors(tmp_path: Path) -> None:
    desk = Tokens(tmp_path)
    model = embedded(desk, node("MatMul", ["e", "w"], ["mixed"], "product"), stored=[weight("w", 64, 64)])
    small, job = desk.run(model, QuantizeDynamic())
    assert job.facts["int8_tables"] == 1
    assert desk.error(model, small) < 0.05
    small, job = desk.run(model, QuantizeDynamic(exclude=("emb",)))
    assert job.facts["int8_tables"] == 0
    assert desk.error(model, small) < 0.05


def test_dynamic_takes_a_table_that_is_a_weight_too(tmp_path: Path) -> None:
    desk = Tokens(tmp_path)
    tied = [
        node("ReduceMean", ["e"], ["sentence"], "sentence", axes=[1], keepdims=0),
        node("Gemm", ["sentence", "E"], ["words"], "scores", transB=1),
        node("Unsqueeze", ["words", "one"], ["wide"], "wide"),
        node("MatMul", ["wide", "w"], ["mixed"], "product"),
    ]
    one = numpy_helper.from_array(np.array([1]), "one")
    model = embedded(desk, *tied, stored=[weight("w", 200, 64), one])
    assert desk.error(model, desk.run(model, QuantizeDynamic())[0]) < 0.05


def test_dynamic_leaves_a_table_that_a_branch_reads_too(tmp_path: Path) -> None:
    desk = Tokens(tmp_path)
    then = helper.make_graph([node("Gather", ["E", "ids"], ["t"])], "t", [], [shaped("t", None, 12, 64)])
    other = helper.make_graph([node("Neg", ["e"], ["n"])], "n", [], [shaped("n", None, 12, 64)])
    nodes = [
        node("ReduceMean", ["x"], ["level"], "level", keepdims=0),
        node("Greater", ["level", "hundred"], ["condition"], "greater"),
        node("If", ["condition"], ["chosen"], "if", then_branch=then, else_branch=other),
        node("MatMul", ["chosen", "w"], ["mixed"], "product"),
    ]
    hundred = numpy_helper.from_array(np.float32(100), "hundred")
    model = embedded(desk, *nodes, stored=[weight("w", 64, 64), hundred])
    small, job = desk.run(model, QuantizeDynamic())
    assert job.facts["int8_tables"] == 0
    assert desk.error(model, small) < 0.05


def test_weights_inside_a_branch_stay_float(tmp_path: Path) -> None:
    desk = Desk(tmp_path, np.random.default_rng(5).standard_normal((40, 64)))
    inner = [weight("wi", 64, 64)]
    then = helper.make_graph([node("MatMul", ["x", "wi"], ["t"], "inner")], "t", [], [shaped("t", None, 64)], inner)
    other = helper.make_graph([node("Neg", ["x"], ["n"])], "n", [], [shaped("n", None, 64)])
    nodes = [
        node("ReduceMean", ["x"], ["level"], "level", keepdims=0),
        node("Greater", ["level", "zero"], ["condition"], "greater"),
        node("If", ["condition"], ["chosen"], "if", then_branch=then, else_branch=other),
        node("MatMul", ["chosen", "w"], ["y"], "product"),
    ]
    model = desk.load(nodes, [weight("w", 64, 10), numpy_helper.from_array(np.float32(0), "zero")])
    small, job = desk.run(model, QuantizeWeights(smallest=16, bits=8))
    assert job.facts["quantized_products"] == 1
    assert desk.error(model, small) < 0.05
