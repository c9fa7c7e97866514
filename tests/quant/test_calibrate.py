"""Large tensors are summarized inside the runtime: the same observers come out as from their values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgepipe.contract import Split
from edgepipe.data.npz import NpzData
from edgepipe.errors import PassError
from edgepipe.quant import calibrate, observers, summaries
from edgepipe.quant.calibrate import stream
from edgepipe.quant.observers import Observer
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


def seen(model: onnx.ModelProto, data, batch_size: int) -> dict[str, Observer]:
    names = ["x", "a", "b", "y"]
    return calibrate.calibrate(
        model, names, data, batch_size=batch_size, histogram=True, label="it", progress=lambda *_: None
    )


@pytest.mark.parametrize(("batch", "opset", "size"), [(None, 20, 5), (None, 13, 12), (4, 17, 5)])
def test_what_the_runtime_summarizes_is_what_the_values_say(data, monkeypatch, batch, opset, size) -> None:
    for module in (observers, summaries):
        monkeypatch.setattr(module, "COUNTED", 500)
    observers.places.cache_clear()
    model = masked(batch, opset)
    found = seen(model, data, size)
    wanted = {name: Observer() for name in found}
    stream(model, list(found), data, lambda n, v: wanted[n].observe(v), batch_size=size, progress=lambda *_: None)
    observers.places.cache_clear()
    assert data.count(Split.CALIBRATION) == 12
    for name, observer in found.items():
        assert (observer.low, observer.high) == (wanted[name].low, wanted[name].high)
        assert observer.count == wanted[name].count == 12 * (4 if name == "y" else 500)
        assert np.array_equal(observer._bins, wanted[name]._bins)
        if name != "b":  # whose squares are beyond float32: by the values counted
            assert observer.typical.energy == pytest.approx(wanted[name].typical.energy, rel=1e-5)
            assert observer.range("relative_mse") == pytest.approx(wanted[name].range("relative_mse"), rel=0.05)


def test_nan_in_a_large_tensor_is_refused(data, monkeypatch) -> None:
    for module in (observers, summaries):
        monkeypatch.setattr(module, "COUNTED", 500)
    observers.places.cache_clear()
    for broken in (np.nan, np.inf):
        with pytest.raises(PassError, match=r"passes.it: the tensor '[ab]' holds NaN or infinity"):
            seen(masked(None, 17, broken), data, 5)
    observers.places.cache_clear()
