"""Values a hundred times apart in one tensor: how well the small ones are kept, and what is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edgepipe.contract import Job
from edgepipe.onnx.answers import session_answers
from edgepipe.passes.quantize_aware import QuantizeAware
from edgepipe.passes.quantize_static import QuantizeStatic
from edgepipe.quant.place.placement import place
from edgepipe.quant.rewrite.prepare import prepare
from tests.quant.test_odd_graphs import Desk, head, node, shaped, weight

Network = tuple[list[onnx.NodeProto], list[TensorProto], list[int | None]]
C = 16


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, np.random.default_rng(5).standard_normal((40, 3, 12, 12)))


def numbers(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def branches(small: float) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """`a`, and `b` that is `small` times as large: ReLUs of convolutions of one trunk."""
    pads = {"pads": [1] * 4}
    nodes = [
        node("Conv", ["x", "w0"], ["t0"], "stem", **pads),
        node("Relu", ["t0"], ["t"], "stem_relu"),
        node("Conv", ["t", "wa"], ["a0"], "conv_a", **pads),
        node("Relu", ["a0"], ["a"], "relu_a"),
        node("Conv", ["t", "wb"], ["b0"], "conv_b", **pads),
        node("Relu", ["b0"], ["b"], "relu_b"),
    ]
    stored = [weight("w0", C, 3, 3, 3), weight("wa", C, C, 3, 3), weight("wb", C, C, 3, 3, scale=small)]
    return nodes, stored


def joined(small: float) -> Network:
    nodes, stored = branches(small)
    nodes += [node("Concat", ["a", "b"], ["c"], "cat", axis=1), each("c", "y")]
    return nodes, [*stored, weight("we", 2 * C, 1, 1, 1)], [None, 2 * C, 12, 12]


def each(reads: str, writes: str) -> onnx.NodeProto:
    """A layer behind a join that scales each channel: what follows no layer stays float anyway."""
    return node("Conv", [reads, "we"], [writes], "each", group=2 * C)


def nested(small: float) -> Network:
    """No two neighbours are far apart, but the first and the last."""
    nodes, stored = branches(small)
    nodes += [
        node("Conv", ["t", "wm"], ["m"], "conv_m", pads=[1] * 4),
        node("Concat", ["m", "b"], ["inner"], "inner_cat", axis=1),
        node("Concat", ["a", "inner"], ["c"], "cat", axis=1),
        node("Conv", ["c", "wd"], ["d"], "depthwise", group=3 * C),
        node("Slice", ["d", "from", "to", "axis"], ["y"], "slice"),
    ]
    stored += [weight("wm", C, C, 3, 3, scale=small**0.5), numbers("from", C), numbers("to", 3 * C), numbers("axis", 1)]
    return nodes, [*stored, weight("wd", 3 * C, 1, 1, 1)], [None, 2 * C, 12, 12]


def stacked(small: float) -> Network:
    nodes, stored = branches(small)
    nodes += [
        node("Unsqueeze", ["a", "front"], ["a5"], "up_a"),
        node("Unsqueeze", ["b", "front"], ["b5"], "up_b"),
        node("Concat", ["a5", "b5"], ["ab"], "stack", axis=1),
        node("Reshape", ["ab", "flat"], ["c"], "reshape"),
        each("c", "y"),
    ]
    stored += [numbers("front", 1), numbers("flat", 0, 2 * C, 12, 12), weight("we", 2 * C, 1, 1, 1)]
    return nodes, stored, [None, 2 * C, 12, 12]


def behind_a_pool(small: float) -> Network:
    """The activation and the pool behind a Concat have scales of their own."""
    nodes, stored = branches(small)
    nodes = [item for item in nodes if not item.name.startswith("relu_")]
    nodes += [
        node("Concat", ["a0", "b0"], ["c0"], "cat", axis=1),
        node("Relu", ["c0"], ["c"], "relu"),
        node("MaxPool", ["c"], ["m"], "max", kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", ["m"], ["p"], "mean"),
        each("p", "e"),
        node("Flatten", ["e"], ["y"], "flat"),
    ]
    return nodes, [*stored, weight("we", 2 * C, 1, 1, 1)], [None, 2 * C]


def depthwise(small: float) -> Network:
    """A layer behind the Concat that adds nothing up."""
    nodes, stored = branches(small)
    nodes += [
        node("Concat", ["a", "b"], ["c"], "cat", axis=1),
        node("Conv", ["c", "wd"], ["y"], "depthwise", group=2 * C, pads=[1] * 4),
    ]
    return nodes, [*stored, weight("wd", 2 * C, 1, 3, 3)], [None, 2 * C, 12, 12]


def uneven(small: float, name: str, *shape: int, axis: int = 0) -> TensorProto:
    """A weight whose second half of results is small."""
    value = np.moveaxis(numpy_helper.to_array(weight(name, *shape)).copy(), axis, 0)
    value[len(value) // 2 :] *= small
    return numpy_helper.from_array(np.ascontiguousarray(np.moveaxis(value, 0, axis)), name)


def detector(small: float) -> Network:
    """Boxes and scores in the channels of one convolution; cut apart behind a reshape and a sigmoid of the scores."""
    nodes, stored = branches(1.0)
    nodes = [
        *nodes[:4],
        node("Conv", ["a", "wh"], ["raw"], "head"),
        node("Reshape", ["raw", "rows"], ["r"], "reshape"),
        node("Transpose", ["r"], ["places"], "transpose", perm=[0, 2, 1]),
        node("Split", ["places"], ["boxes", "scores"], "split", axis=2, num_outputs=2),
        node("Mul", ["scores", "one"], ["s"], "scaled"),
        node("Concat", ["boxes", "s"], ["y"], "answer", axis=2),
    ]
    stored = [*stored[:2], uneven(small, "wh", 2 * C, C, 1, 1), numbers("rows", 0, 2 * C, 144)]
    return nodes, [*stored, numpy_helper.from_array(np.float32([1.5]), "one")], [None, 144, 2 * C]


def gemm(small: float) -> Network:
    nodes, stored = branches(1.0)
    nodes = [
        *nodes[:4],
        node("GlobalAveragePool", ["a"], ["p"], "pool"),
        node("Flatten", ["p"], ["f"], "flatten"),
        node("Gemm", ["f", "wg"], ["g"], "fc"),
        node("Relu", ["g"], ["gr"], "fc_relu"),
        node("Split", ["gr"], ["one", "two"], "split", axis=1, num_outputs=2),
        node("Gemm", ["one", "w1"], ["y1"], "fc1"),
        node("Gemm", ["two", "w2"], ["y2"], "fc2"),
        node("Concat", ["y1", "y2"], ["y"], "answer", axis=1),
    ]
    stored = [*stored[:2], uneven(small, "wg", C, 128, axis=1), weight("w1", 64, 16), weight("w2", 64, 16)]
    return nodes, stored, [None, 32]


NETWORKS: list[tuple[Callable[[float], Network], str]] = [
    (joined, "Concat 'cat'"),
    (nested, "Concat 'cat'"),
    (stacked, "Concat 'stack'"),
    (behind_a_pool, "Concat 'cat'"),
    (depthwise, "Concat 'cat'"),
    (detector, "Split 'split'"),
    (gemm, "Split 'split'"),
]


def errors(desk: Desk, made: Network, **settings: object) -> tuple[float, list[str], Job]:
    """The larger relative error of the first and second half of the answer's channels, and the notes."""
    nodes, stored, shape = made
    model = desk.load(nodes, stored, outputs=[shaped("y", *shape)], opset=18)
    done, job = desk.run(model, QuantizeStatic(**settings))  # type: ignore[arg-type]
    wanted, got = (np.asarray(session_answers(item.onnx)(desk.inputs), np.float64) for item in (model, done))
    axis = 2 if len(shape) == 3 else 1
    halves = zip(*(np.array_split(values, 2, axis=axis) for values in (wanted, got)), strict=True)
    worst = max(float(np.linalg.norm(b - a) / np.linalg.norm(a)) for a, b in halves)
    return worst, [str(note) for note in job.facts.get("notes", ())], job  # type: ignore[union-attr]


@pytest.mark.parametrize(("network", "named"), NETWORKS, ids=lambda item: getattr(item, "__name__", ""))
def test_values_far_apart_in_one_tensor_stay_float_and_are_told(
    network: Callable[[float], Network], named: str, desk: Desk
) -> None:
    worst, notes, job = errors(desk, network(0.01), keep_float="never")
    assert worst < 0.025  # 0.02 where nothing is far apart
    assert any(note.startswith(f"the {named}") and "stays float" in note for note in notes)
    assert job.facts["int8_nodes"]  # not the whole network
    forced, told, _ = errors(desk, network(0.01), keep_float="never", far_apart="int8")
    assert forced > 0.2
    assert any(note.startswith(f"the {named}") and "rounding error" in note for note in told)


def test_a_join_that_is_the_answer_stays_float_however_near_its_parts(desk: Desk) -> None:
    nodes, stored = branches(0.01)
    made = [*nodes, node("Concat", ["a", "b"], ["y"], "cat", axis=1)], stored, [None, 2 * C, 12, 12]
    worst, notes, _ = errors(desk, made, keep_float="never", far_apart="int8")  # type: ignore[arg-type]
    assert worst < 0.025
    assert not notes


def test_values_that_are_near_each_other_stay_in_int8(desk: Desk) -> None:
    for network, _ in NETWORKS:
        nodes, stored, shape = network(0.5)
        model = desk.load(nodes, stored, outputs=[shaped("y", *shape)], opset=18)
        one, job = desk.run(model, QuantizeStatic(keep_float="never"))
        other, _ = desk.run(model, QuantizeStatic(keep_float="never", far_apart="int8"))
        assert "notes" not in job.facts
        assert one.onnx.read_bytes() == other.onnx.read_bytes()


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("weigh", [1.0, 100.0])
def test_a_layer_that_adds_branches_up_runs_in_int8_unless_it_weighs_the_small_one_more(
    weigh: float, pooled: bool, desk: Desk
) -> None:
    nodes, stored = branches(0.01)
    last, more = head("d", C)
    mixing = numpy_helper.to_array(weight("wc", C, 2 * C, 1, 1)).copy()
    mixing[:, C:] *= weigh
    nodes += [
        node("Concat", ["a", "b"], ["c"], "cat", axis=1),
        *([node("MaxPool", ["c"], ["m"], "max", kernel_shape=[2, 2])] if pooled else []),
        node("Conv", ["m" if pooled else "c", "wc"], ["d"], "mixed"),
        *last,
    ]
    model = desk.load(nodes, [*stored, numpy_helper.from_array(mixing, "wc"), *more])
    done, job = desk.run(model, QuantizeStatic(keep_float="never"))
    kept = job.facts["kept_float"]
    assert isinstance(kept, dict)
    assert ("mixed" in kept) == ("notes" in job.facts) == (weigh > 1)
    assert desk.error(model, done) < 0.02


def test_what_is_padded_with_a_large_number_keeps_its_values(desk: Desk) -> None:
    nodes, stored = branches(1.0)
    stored += [numbers("pads", 0, 0, 1, 1, 0, 0, 1, 1), numpy_helper.from_array(np.float32(500), "fill")]
    nodes = [
        *nodes[:2],
        node("Pad", ["t", "pads", "fill"], ["p"], "pad"),
        node("Conv", ["p", "wd"], ["d"], "depthwise", group=C),
        node("Slice", ["d", "from", "to", "axes"], ["y"], "inside"),
    ]
    stored = [stored[0], *stored[3:], weight("wd", C, 1, 1, 1)]
    stored += [numbers("from", 1, 1), numbers("to", 13, 13), numbers("axes", 2, 3)]
    worst, notes, _ = errors(desk, (nodes, stored, [None, C, 12, 12]), keep_float="never")
    assert worst < 0.025
    assert any("Pad 'pad'" in note for note in notes)


def test_int8_training_keeps_values_that_are_far_apart(desk: Desk) -> None:
    nodes, stored, _ = depthwise(0.01)
    nodes[-1].output[0] = "d"
    last, more = head("d", 2 * C)
    model = desk.load([*nodes, *last], [*stored, *more])
    graph = prepare(model.onnx, "it")
    job = Job(desk.folder, desk.folder, desk.data, 0, "it")
    placement = QuantizeAware()._placed(graph, job)
    assert "c" in place(graph, ()).tensors
    assert "c" not in placement.tensors
    assert "Concat 'cat'" in str(job.facts["notes"])


def test_int8_training_of_what_int8_makes_no_faster_is_for_the_bytes(tmp_path: Path) -> None:
    desk = Desk(tmp_path, np.random.default_rng(5).standard_normal((40, 64)))
    nodes = [
        node("Gemm", ["x", "w1"], ["a"], "one"),
        node("Relu", ["a"], ["r"]),
        node("Gemm", ["r", "w2"], ["y"], "two"),
    ]
    model = desk.load(nodes, [weight("w1", 64, 32), weight("w2", 32, 10)])
    job = Job(desk.folder, desk.folder, desk.data, 0, "it")
    assert QuantizeAware()._placed(prepare(model.onnx, "it"), job).nodes == {"one", "two"}
    assert "for the bytes" in str(job.facts["notes"])
    small, static = desk.run(model, QuantizeStatic())
    assert small.onnx.read_bytes() == model.onnx.read_bytes()
    (note,) = static.facts["notes"]  # type: ignore[misc]
    assert "passes.it.keep_float=never" in note
    forced, _ = desk.run(model, QuantizeStatic(keep_float="never"))
    assert forced.onnx.stat().st_size < 0.6 * model.onnx.stat().st_size
