"""Large tensors are summarized inside the runtime: the same observers come out as from their values."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgepipe.contract import Split
from edgepipe.data.npz import NpzData
from edgepipe.errors import PassError
from edgepipe.quant.calibrate import observers, summaries
from edgepipe.quant.calibrate import run as calibrate
from edgepipe.quant.calibrate.elementwise import path, roots
from edgepipe.quant.calibrate.observers import Observer
from edgepipe.quant.calibrate.run import side_by_side, stream
from tests.quant.test_odd_graphs import node, shaped, weight


def masked(batch: int | None, opset: int, broken: float = 1.0) -> onnx.ModelProto:
    """A large map `a`, the same behind a mask of -3e38 (`b`), and a small one (`y`)."""
    mask = np.zeros((1, 1, 24, 24), np.float32)
    mask[..., 0] = -3e38
    factor = np.full(4, 1.0, np.float32).reshape(1, 4, 1, 1)
    factor[0, 2] = broken
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv", pads=[1] * 4),
        node("Mul", ["c", "factor"], ["a"], "mul"),
        node("Add", ["a", "mask"], ["b"], "add"),
        node("GlobalAveragePool", ["a"], ["y"], "pool"),
    ]
    stored = [weight("w", 4, 3, 3, 3), numpy_helper.from_array(mask, "mask"), numpy_helper.from_array(factor, "factor")]
    # Names that summaries would like to use.
    nodes.append(node("Relu", ["y"], ["edgepipe_rows"], "relu"))
    outputs = [shaped("edgepipe_rows", batch, 4, 1, 1)]
    graph = helper.make_graph(nodes, "g", [shaped("x", batch, 3, 24, 24)], outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("data")
    images = np.random.default_rng(3).standard_normal((12, 3, 24, 24)).astype(np.float32)
    images[5] *= 30  # an odd one
    for name, factor in (("c", 1.0), ("e", 1.5)):
        np.savez(folder / f"{name}.npz", images=images * np.float32(factor), labels=np.arange(12) % 4)
    return NpzData(evaluation=folder / "e.npz", calibration=folder / "c.npz").open(Path(folder) / "cache")


@pytest.fixture
def few_counted(monkeypatch: pytest.MonkeyPatch):
    for module in (observers, summaries, calibrate):
        monkeypatch.setattr(module, "COUNTED", 504)
    observers.places.cache_clear()
    yield
    observers.places.cache_clear()


def by_values(model: onnx.ModelProto, names: list[str], data, batch_size: int, **how: bool) -> dict[str, Observer]:
    wanted = {name: Observer(**how) for name in names}
    stream(model, names, data, lambda n, v: wanted[n].observe(v), batch_size=batch_size, progress=lambda *_: None)
    return wanted


def seen(model: onnx.ModelProto, data, batch_size: int) -> dict[str, Observer]:
    names = ["x", "a", "b", "y"]
    return calibrate.calibrate(
        model, names, data, batch_size=batch_size, histogram=True, label="it", progress=lambda *_: None
    )


@pytest.mark.usefixtures("few_counted")
@pytest.mark.parametrize(("batch", "opset", "size"), [(None, 20, 5), (None, 13, 12), (4, 17, 5)])
def test_what_the_runtime_summarizes_is_what_the_values_say(data, batch, opset, size) -> None:
    model = masked(batch, opset)
    found = seen(model, data, size)
    wanted = by_values(model, list(found), data, size)
    assert data.count(Split.CALIBRATION) == 12
    for name, observer in found.items():
        assert (observer.low, observer.high) == (wanted[name].low, wanted[name].high)
        assert observer.count == wanted[name].count == 12 * (4 if name == "y" else 504)
        assert np.array_equal(observer._bins, wanted[name]._bins)
        assert observer.typical.energy == wanted[name].typical.energy
        assert observer.range("relative_mse") == wanted[name].range("relative_mse")


@pytest.mark.usefixtures("few_counted")
def test_nan_in_a_large_tensor_is_refused(data) -> None:
    for broken in (np.nan, np.inf):
        with pytest.raises(PassError, match=r"passes.it: the tensor '[ab]' holds NaN or infinity"):
            seen(masked(None, 17, broken), data, 5)


def activated() -> onnx.ModelProto:
    """A map `c` with functions of it, value by value (`s`, `silu`, `clip`, `swish`), and what is none (`b`, `sum`)."""
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv", pads=[1] * 4),
        node("Sigmoid", ["c"], ["s"], "sigmoid"),
        node("Mul", ["c", "s"], ["silu"], "mul"),
        node("Add", ["c", "three"], ["moved"], "three_more"),
        node("Clip", ["moved", "zero", "six"], ["clip"], "clip"),
        node("Mul", ["clip", "c"], ["swish"], "times"),
        node("Add", ["silu", "bias"], ["b"], "channels_differ"),
        node("Add", ["b", "swish"], ["sum"], "two_maps"),
        node("GlobalAveragePool", ["sum"], ["y"], "pool"),
    ]
    bias = np.linspace(-1, 1, 4, dtype=np.float32).reshape(1, 4, 1, 1)
    numbers = {"zero": 0.0, "three": 3.0, "six": 6.0, "bias": bias}
    stored = [weight("w", 4, 3, 3, 3)] + [
        numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in numbers.items()
    ]
    graph = helper.make_graph(nodes, "g", [shaped("x", None, 3, 24, 24)], [shaped("y", None, 4, 1, 1)], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_functions_of_a_tensor_are_found() -> None:
    graph = activated().graph
    everything = {name for item in graph.node for name in item.output}
    found = roots(graph, everything)
    assert {name for name, root in found.items() if root == "c"} == {"c", "s", "silu", "moved", "clip", "swish"}
    assert {name: found[name] for name in ("b", "sum", "y")} == {"b": "b", "sum": "sum", "y": "y"}
    # Of a tensor that nobody asks for nothing is known.
    assert roots(graph, {"silu", "sum"}) == {"silu": "silu", "sum": "sum"}
    assert [each.name for each in path(graph, "c", ["swish"], found)] == ["three_more", "clip", "times"]


@pytest.mark.usefixtures("few_counted")
def test_functions_of_a_summarized_tensor_are_known_as_by_their_values(data) -> None:
    model = activated()
    names = ["swish", "c", "silu", "s", "clip", "b", "sum"]
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    asked = summaries.Summaries(probe, names, dict.fromkeys(names, 2304))
    reduced = [item.input[0] for item in probe.graph.node if item.op_type == "ReduceMax"]
    assert (
        len(reduced) == 3 and len(asked.outputs) == 4 * 2 + 3 * 3 and asked.spared == 7 * (2304 - 504)
    )  # only `c`, `b` and `sum` are looked at whole
    found = calibrate.calibrate(model, names, data, batch_size=5, histogram=True, label="it", progress=lambda *_: None)
    wanted = by_values(model, names, data, 5)
    for name in names:
        assert found[name].low == pytest.approx(wanted[name].low, rel=1e-3, abs=1e-4)
        assert found[name].high == pytest.approx(wanted[name].high, rel=1e-5)
        assert found[name].count == wanted[name].count == 12 * 504
        for kind in ("relative_mse", "mse", "percentile"):
            assert found[name].range(kind) == pytest.approx(wanted[name].range(kind), rel=0.02, abs=1e-3)


def test_what_observers_are_shown_at_once_changes_nothing(data, monkeypatch) -> None:
    found = []
    for most in (1, 2**23):
        monkeypatch.setattr(calibrate, "_SEEN", most)
        found.append(seen(masked(None, 17), data, 3))
    for name in found[0]:
        one, other = (each[name] for each in found)
        assert (one.low, one.high, one.count) == (other.low, other.high, other.count)
        assert one.range("relative_mse") == other.range("relative_mse")


def test_an_error_of_one_of_the_runs_side_by_side_is_raised_and_results_keep_their_order(monkeypatch) -> None:
    monkeypatch.setattr(calibrate, "available_cores", lambda: 3)

    def run(rows: np.ndarray) -> list[np.ndarray]:
        if rows[0] == 7:
            raise RuntimeError("seven")
        time.sleep(0.02 / (1 + rows[0]))  # the first are the slowest
        return [rows]

    batches = [np.full(1, number) for number in range(7)]
    assert [values[0][0] for _, values in side_by_side(run, iter(batches), ahead=2)] == list(range(7))
    with pytest.raises(RuntimeError, match="seven"):
        list(side_by_side(run, iter([*batches, np.full(1, 7)])))


def test_tensors_with_examples_along_another_axis_or_none_are_observed_batch_by_batch(data) -> None:
    nodes = [
        node("GlobalAveragePool", ["x"], ["pooled"], "pool"),
        node("Flatten", ["pooled"], ["rows"], "flat"),
        node("Transpose", ["rows"], ["across"], "turn", perm=[1, 0]),  # (3, n)
        node("ReduceMax", ["rows"], ["one"], "most", keepdims=0),  # ()
        node("Add", ["rows", "one"], ["y"], "add"),
    ]
    graph = helper.make_graph(nodes, "g", [shaped("x", None, 3, 24, 24)], [shaped("y", None, 3)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = calibrate.calibrate(
        model, ["across", "one", "y"], data, batch_size=5, histogram=True, label="it", progress=lambda *_: None
    )
    assert [found[name].count for name in ("across", "one", "y")] == [36, 3, 36]


def graph_of(nodes: list[onnx.NodeProto], stored=(), *, rank: int = 2) -> onnx.ModelProto:
    outputs = [shaped("y", *[None] * rank)]
    graph = helper.make_graph(nodes, "g", [shaped("x", None, 3, 24, 24)], outputs, list(stored))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def constants(**values: list[int]) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(np.asarray(value, np.int64), name) for name, value in values.items()]


@pytest.mark.usefixtures("few_counted")
def test_one_nan_among_thousands_of_values_is_refused(tmp_path: Path) -> None:
    images = np.random.default_rng(3).random((12, 3, 24, 24), np.float32) + 0.5
    images[7, 1, 5, 6] = -1
    for name, factor in (("c", 1.0), ("e", 1.5)):
        np.savez(tmp_path / f"{name}.npz", images=images * np.float32(factor), labels=np.arange(12) % 4)
    data = NpzData(evaluation=tmp_path / "e.npz", calibration=tmp_path / "c.npz").open(tmp_path / "cache")
    model = graph_of([node("Sqrt", ["x"], ["root"], "sqrt"), node("Flatten", ["root"], ["y"], "flat")])
    with pytest.raises(PassError, match="the tensor 'root' holds NaN"):
        calibrate.calibrate(model, ["root"], data, batch_size=5, histogram=True, label="it", progress=lambda *_: None)


@pytest.mark.usefixtures("few_counted")
def test_a_tensor_whose_size_depends_on_the_example_is_seen_whole(data) -> None:
    nodes = [
        node("Flatten", ["x"], ["rows"], "flat"),
        node("ReduceMax", ["x"], ["most"], "most", keepdims=0),
        node("Mul", ["most", "hundred"], ["wide"], "wide"),
        node("Cast", ["wide"], ["count"], "count", to=onnx.TensorProto.INT64),
        node("Reshape", ["count", "one"], ["end"], "end"),
        node("Slice", ["rows", "zero", "end", "one"], ["y"], "cut"),
    ]
    stored = [*constants(zero=[0], one=[1]), numpy_helper.from_array(np.float32(200.3), "hundred")]
    model = graph_of(nodes, stored)
    found = calibrate.calibrate(model, ["y"], data, batch_size=1, histogram=True, label="it", progress=lambda *_: None)
    wanted = by_values(model, ["y"], data, 1)["y"]
    assert (found["y"].low, found["y"].high) == (wanted.low, wanted.high)
    assert found["y"].count == wanted.count


@pytest.mark.usefixtures("few_counted")
def test_a_large_tensor_with_examples_along_another_axis_is_seen_whole(data) -> None:
    model = graph_of([node("Transpose", ["x"], ["y"], "turn", perm=[1, 0, 2, 3])], rank=4)
    found = calibrate.calibrate(model, ["y"], data, batch_size=4, histogram=True, label="it", progress=lambda *_: None)
    wanted = by_values(model, ["y"], data, 4)["y"]
    assert np.array_equal(found["y"]._bins, wanted._bins)


@pytest.mark.usefixtures("few_counted")
@pytest.mark.parametrize("batch_size", [1, 5, 25])
def test_a_moving_average_is_of_the_batches_on_any_number_of_cores(data, monkeypatch, batch_size: int) -> None:
    wanted = by_values(masked(None, 17), ["a", "y"], data, batch_size, histogram=False)
    for cores in (1, 3):
        monkeypatch.setattr(calibrate, "available_cores", lambda cores=cores: cores)
        found = calibrate.calibrate(
            masked(None, 17), ["a", "y"], data, batch_size=batch_size, histogram=False, label="it",
            progress=lambda *_: None,
        )  # fmt: skip
        for name, observer in found.items():
            assert observer.range("moving_average") == wanted[name].range("moving_average")


def test_what_waits_for_observers_counts_a_first_axis_longer_than_the_batch(data, monkeypatch) -> None:
    most = []
    real = calibrate._together
    monkeypatch.setattr(calibrate, "_together", lambda runs, seen: most.append(seen) or real(runs, seen))
    monkeypatch.setattr(calibrate, "_SEEN", 5 * (2 * 1728 + 1))
    model = graph_of([node("Reshape", ["x", "tokens"], ["y"], "cut")], constants(tokens=[-1, 3]))  # 576 rows each
    calibrate.calibrate(model, ["y"], data, batch_size=1, histogram=True, label="it", progress=lambda *_: None)
    assert most == [5]


def test_a_graph_made_for_one_example_is_shown_one_at_a_time(data) -> None:
    model = graph_of([node("Reshape", ["x", "shape"], ["y"], "cut")], constants(shape=[1, 1728]))
    found = calibrate.calibrate(model, ["y"], data, batch_size=1, histogram=True, label="it", progress=lambda *_: None)
    assert found["y"].count == 12 * 1728
