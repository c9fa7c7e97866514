"""ONNX files of a kilobyte that never end or fill the memory: ended and refused, wherever they come in."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgepipe.__main__ import main
from edgepipe.bundle.manifest import read_bundle, seal_bundle
from edgepipe.errors import ModelError
from edgepipe.sources import first_run
from edgepipe.verify import prove
from tests.cli.test_device import ssh_that
from tests.faults.test_untrusted import refused
from tests.measure.graphs import small_network
from tests.small import arguments

FLAT = 3 * 16 * 16
FOREVER = 2**62


def constant(name: str, value: object, kind: type = np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, kind), name)


def graph(path: Path, nodes: list[NodeProto], stored: list[TensorProto], functions: tuple = ()) -> Path:
    """(n, 3, 16, 16) -> Flatten -> (n, 768) `fl` -> `nodes` -> `k`, whose mean is added -> (n, 2)."""
    before = [helper.make_node("Flatten", ["x"], ["fl"])]
    after = [
        helper.make_node("ReduceMean", ["k"], ["mean"], keepdims=0),
        helper.make_node("Gemm", ["fl", "w"], ["scores"]),
        helper.make_node("Add", ["scores", "mean"], ["y"]),
    ]
    weight = numpy_helper.from_array(np.random.default_rng(0).standard_normal((FLAT, 2)).astype(np.float32), "w")
    made = helper.make_graph(
        [*before, *nodes, *after],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [*stored, weight],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("f", 1)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=10, functions=functions), path)
    return path


def loop(path: Path, trips: int | None) -> Path:
    """A loop of so many trips; None: none for zeros, and for ever for anything else."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["goes"]), helper.make_node("Mul", ["v", "v"], ["v2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, ["a", "b"]),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v2", TensorProto.FLOAT, ["a", "b"]),
        ],
    )
    turn = helper.make_node("Loop", ["trips", "yes", "fl"], ["k"], body=body)
    stored = [constant("yes", True, bool), constant("zero", 0.0, np.float32)]
    if trips is not None:
        return graph(path, [turn], [*stored, constant("trips", trips)])
    counted = [
        helper.make_node("ReduceSumSquare", ["fl"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["some"]),
        helper.make_node("Where", ["some", "for_ever", "never"], ["trips"]),
    ]
    return graph(path, [*counted, turn], [*stored, constant("for_ever", FOREVER), constant("never", 0)])


def grown(path: Path, kind: str) -> Path:
    """Each makes a tensor of 2^31 values or more out of a few bytes."""
    many = 2**31
    one = helper.make_node
    nodes, stored = {
        "ConstantOfShape": ([one("ConstantOfShape", ["s"], ["k"])], [constant("s", [many])]),
        "Expand": ([one("Expand", ["fl", "s"], ["k"])], [constant("s", [many // FLAT, 1, 1])]),
        "Tile": ([one("Tile", ["fl", "s"], ["k"])], [constant("s", [1, many // FLAT])]),
        "Pad": ([one("Pad", ["fl", "s"], ["k"])], [constant("s", [0, 0, 0, many])]),
        "Resize": ([one("Resize", ["x", "", "s"], ["k"])], [constant("s", [1, 1, 2000, 2000], np.float32)]),
        "Conv": ([one("Conv", ["x", "s"], ["k"], pads=[20_000] * 4)], [constant("s", np.ones((1, 3, 1, 1)), "f4")]),
        "Concat": ([one("Concat", ["fl" if i == 0 else f"k{i}"] * 2, [f"k{i + 1}"], axis=1) for i in range(22)], []),
        "Add": (
            [one("Tile", ["fl", "s"], ["t"]), one("Transpose", ["t"], ["u"]), one("Add", ["t", "u"], ["k"])],
            [constant("s", [1, 60])],
        ),
        "AveragePool": ([one("AveragePool", ["x"], ["k"], kernel_shape=[9999] * 2, pads=[9998] * 4)], []),
        "RandomNormal": ([one("RandomNormal", [], ["k"], shape=[many])], []),
        "Range": (
            [one("Range", ["a", "b", "c"], ["r"]), one("Cast", ["r"], ["k"], to=1)],
            [constant("a", 0), constant("b", many), constant("c", 1)],
        ),
    }[kind]
    if kind == "Concat":
        nodes[-1].output[0] = "k"
    return graph(path, nodes, stored)


KINDS = """
    ConstantOfShape Expand Tile Pad Resize Conv Concat Add AveragePool RandomNormal Range
"""


def grows(path: Path) -> bool:
    return first_run.may_grow(onnx.load(path), (3, 16, 16), path)


@pytest.mark.parametrize("kind", KINDS.split())
def test_a_file_that_grows_is_known_before_it_runs(tmp_path: Path, kind: str) -> None:
    path = grown(tmp_path / "m.onnx", kind)
    assert grows(path)
    network = onnx.load(path)  # and what it says of its own shapes counts for nothing
    network.graph.value_info.append(helper.make_tensor_value_info("k", TensorProto.FLOAT, [1]))
    onnx.save(network, path)
    assert grows(path)


def test_a_plain_network_costs_no_process(tmp_path: Path) -> None:
    assert not grows(small_network(tmp_path / "m.onnx"))
    assert not grows(small_network(tmp_path / "m.onnx", batch=4))
    padded = [helper.make_node("Pad", ["fl", "s"], ["k"])]
    assert not grows(graph(tmp_path / "p.onnx", padded, [constant("s", [0, 0, 0, 5])]))
    assert grows(loop(tmp_path / "l.onnx", 1))


def many_times(path: Path, kind: str) -> Path:
    """Small for one example: 26 GB for 64 of them, or the sixth power of their number."""
    one = helper.make_node
    if kind == "linear":
        scales = constant("s", [1, 1, 370, 370], np.float32)
        return graph(path, [one("Resize", ["x", "", "s"], ["r"]), one("GlobalMaxPool", ["r"], ["k"])], [scales])
    column, row, axes = constant("a", [-1, 1]), constant("b", [1, -1]), constant("axes", [1])
    nodes, last = [one("ReduceMean", ["fl", "axes"], ["v0"], keepdims=0)], "v0"
    for number in range(6):
        nodes += [one("Reshape", [last, "a"], [f"c{number}"]), one("Reshape", ["v0", "b"], [f"r{number}"])]
        last = "k" if number == 5 else f"v{number + 1}"
        nodes.append(one("Mul", [f"c{number}", f"r{number}"], [last]))
    return graph(path, nodes, [column, row, axes])


@pytest.mark.parametrize("kind", ["linear", "powers"])
def test_a_file_that_grows_with_the_examples_of_a_run_is_known_before_it_runs(tmp_path: Path, kind: str) -> None:
    path = many_times(tmp_path / "m.onnx", kind)
    assert not grows(path)
    assert first_run.may_grow(onnx.load(path), (3, 16, 16), path, first_run.AT_ONCE)


def test_plain_networks_of_many_examples_cost_no_process(tmp_path: Path) -> None:
    for path in (small_network(tmp_path / "m.onnx"), small_network(tmp_path / "f.onnx", batch=4)):
        assert not first_run.may_grow(onnx.load(path), (3, 16, 16), path, first_run.AT_ONCE)
    wide = [helper.make_node("Conv", ["x", "w0"], ["k"], pads=[100] * 4)]  # 64 examples of 150,000 values each
    path = graph(tmp_path / "w.onnx", wide, [constant("w0", np.ones((3, 3, 1, 1)), np.float32)])
    assert not first_run.may_grow(onnx.load(path), (3, 16, 16), path, first_run.AT_ONCE)


def test_powers_of_the_examples_are_ended_before_they_fill_the_memory(tmp_path: Path, capfd) -> None:
    many_times(tmp_path / "m.onnx", "powers")
    said = refused(ran(tmp_path, "model.most_gigabytes=0.5"), capfd)
    assert f"model.path: {tmp_path}/m.onnx: loading and running it once took more than 0.5 GB of memory" in said


def ran(tmp_path: Path, *more: str) -> list[str]:
    argv = arguments(tmp_path / "in", *more, f"hydra.run.dir={tmp_path}/run")
    return [item if not item.startswith("model.path") else f"model.path={tmp_path}/m.onnx" for item in argv]


@pytest.mark.parametrize("trips", [FOREVER, None], ids=["always", "for-real-examples-only"])
def test_a_loop_that_never_ends_is_ended(tmp_path: Path, trips: int | None, capfd) -> None:
    loop(tmp_path / "m.onnx", trips)
    said = refused(ran(tmp_path, "model.most_minutes=0.04"), capfd)
    assert f"model.path: {tmp_path}/m.onnx: loading and running it once took longer than 0.04 minutes" in said
    assert "model.most_minutes" in said


@pytest.mark.parametrize("kind", ["ConstantOfShape", "Resize"])
def test_a_file_that_would_fill_the_memory_is_ended(tmp_path: Path, kind: str, capfd) -> None:
    grown(tmp_path / "m.onnx", kind)
    said = refused(ran(tmp_path, "model.most_gigabytes=0.5"), capfd)
    assert f"model.path: {tmp_path}/m.onnx: loading and running it once took more than 0.5 GB of memory" in said
    assert "model.most_gigabytes" in said


def test_functions_that_no_stack_holds_are_refused(tmp_path: Path, capfd) -> None:
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("f", 1)]
    deep = tuple(
        helper.make_function(
            "f", f"F{i}", ["a"], ["b"], [helper.make_node(f"F{i + 1}", ["a"], ["b"], domain="f")], opsets
        )
        for i in range(5_000)
    )
    last = helper.make_function("f", "F5000", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], opsets[:1])
    graph(tmp_path / "m.onnx", [helper.make_node("F0", ["fl"], ["k"], domain="f")], [], (*deep, last))
    assert "model.path" in refused(ran(tmp_path, "model.most_minutes=0.2"), capfd)


def test_what_the_process_with_bounds_refuses_is_said_in_the_loaders_words(tmp_path: Path, capfd) -> None:
    network = onnx.load(loop(tmp_path / "m.onnx", 1))
    network.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4
    onnx.save(network, tmp_path / "m.onnx")
    said = f"model.path: {tmp_path}/m.onnx: its input 'x' is [4, 16, 16] per example, the data gives [3, 16, 16]"
    assert said in refused(ran(tmp_path), capfd)


def test_a_strangers_bundle_that_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    assert main(arguments(tmp_path / "in", "measure.latency_seconds=0.1", f"hydra.run.dir={tmp_path}/run")) == 0
    bundle = shutil.copytree(tmp_path / "run" / "final", tmp_path / "bundle")
    loop(bundle / "model.onnx", None)
    seal_bundle(bundle, read_bundle(bundle))
    usual = first_run.bound_of
    monkeypatch.setattr(first_run, "bound_of", lambda size: usual(size, 0.03))
    said = refused(["bundle", "verify", str(bundle)], capfd)
    assert f"{bundle}/model.onnx: loading and running it once took longer than 0.03 minutes and was ended" in said
    ssh_that(tmp_path / "bin", monkeypatch, "echo reached")
    said = refused(["device", "run", "ssh://somebody@pi", str(bundle)], capfd)
    assert "took longer than 0.03 minutes" in said
    examples = np.ones((8, 3, 16, 16), np.float32)
    work = prove._Work(
        bundle / "model.onnx", prove.examples_of_arrays({"x": examples}, None), tmp_path, lambda *_: None, nullcontext
    )
    with pytest.raises(ModelError, match=r"longer than 0\.03 minutes"):  # the first thing that `verify` does
        work.run(prove.Here())
