"""A number among the inputs that chooses what is computed: every run of the graph is given the data's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgepipe.__main__ import main
from edgepipe.contract import Job
from edgepipe.data.npz import NpzData
from edgepipe.measure.memory import probe
from edgepipe.onnx.graph import Graph
from edgepipe.onnx.rewritten import difference
from edgepipe.onnx.session import Session
from edgepipe.records.metrics import read_metrics
from edgepipe.sources.onnx_file import OnnxModel
from tests.onnx.networks import save

RATE = 16000
SILERO = Path(__file__).parents[3] / "pkgs" / "silero" / "silero_vad" / "data" / "silero_vad.onnx"


def branched(path: Path, kind: int = TensorProto.FLOAT, width: int = 64) -> Path:
    """`x`, (n, width), and `rate`, int64 (): a product where the rate is 16000, else nothing that runs."""
    values = np.random.default_rng(0).standard_normal((width, width)).astype(helper.tensor_dtype_to_np_dtype(kind))

    def branch(name: str, nodes: list[onnx.NodeProto], constant: np.ndarray) -> onnx.GraphProto:
        held = onnx.numpy_helper.from_array(constant, f"{name}_held")
        return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(f"{name}_y", kind, None)], [held])

    good = branch("good", [helper.make_node("MatMul", ["x", "good_held"], ["good_y"])], values)
    asked = [
        helper.make_node("Unsqueeze", ["rate", "bad_held"], ["size"]),
        helper.make_node("Reshape", ["x", "size"], ["bad_y"]),
    ]
    bad = branch("bad", asked, np.array([0]))
    nodes = [
        helper.make_node("Equal", ["rate", "known"], ["which"]),
        helper.make_node("If", ["which"], ["y"], then_branch=good, else_branch=bad),
    ]
    inputs = {"x": (kind, ("n", width)), "rate": (TensorProto.INT64, ())}
    return save(path, nodes, inputs, {"y": kind}, {"known": np.array(RATE)})


def recorded(folder: Path, width: int = 64) -> NpzData:
    """Examples with the rate of all of them."""
    drawn = np.random.default_rng(1)
    for name in ("c", "e"):
        x = drawn.standard_normal((12, width)).astype(np.float32)
        np.savez(folder / f"{name}.npz", x=x, rate=np.full(12, RATE))
    return NpzData(calibration=str(folder / "c.npz"), evaluation=str(folder / "e.npz"))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_a_graph_is_loaded_by_the_branch_that_the_data_chooses(tmp_path: Path, kind: int) -> None:
    branched(tmp_path / "m.onnx", kind)
    data = recorded(tmp_path).open(tmp_path / "cache")
    (tmp_path / "out").mkdir()
    job = Job(tmp_path / "out", tmp_path, data, 0, "load")
    model = OnnxModel(path=str(tmp_path / "m.onnx")).load(job.out, data.signature, 0, job)
    assert [item.name for item in model.signature.outputs] == ["y"]


def test_a_recipe_measures_quantizes_and_bundles_that_branch(tmp_path: Path) -> None:
    branched(tmp_path / "m.onnx", width=96)
    recorded(tmp_path, width=96)
    words = [f"model.path={tmp_path}/m.onnx", f"data.calibration={tmp_path}/c.npz", f"data.evaluation={tmp_path}/e.npz"]
    common = ["recipe=ptq_dynamic", "model=onnx", "data=npz", *words, f"store.root={tmp_path}/store", "~goal"]
    assert main([*common, "measure.latency_seconds=0.2", f"hydra.run.dir={tmp_path}/run"]) == 0
    metrics = read_metrics(tmp_path / "run")
    assert metrics.final is not None
    assert metrics.final.macs == 96 * 96
    assert metrics.versus_baseline is not None
    assert metrics.versus_baseline.times_smaller > 3


def test_without_the_datas_number_the_graph_does_not_run(tmp_path: Path) -> None:
    model = onnx.load(branched(tmp_path / "m.onnx"))
    shapes = {"x": (64,), "rate": ()}
    with pytest.raises(Exception, match="cannot run it"):
        difference(model, model, shapes, "m", "")
    real = {"x": np.ones((1, 64), np.float32), "rate": np.array([RATE])}
    assert difference(model, model, shapes, "m", "", real=real) == 0
    graph = Graph(model, "m")
    assert graph.filled(shapes)["rate"] == 0
    graph.real = real
    filled = graph.filled(shapes)
    assert filled["rate"] == RATE
    assert not filled["x"].any()
    assert Session(tmp_path / "m.onnx").run(filled)["y"].shape == (1, 64)
    assert probe(tmp_path / "m.onnx", filled, runs=1).load_ms > 0


@pytest.mark.skipif(not SILERO.is_file(), reason="needs silero_vad.onnx of the package silero-vad beside the checkout")
def test_a_voice_detector_of_two_rates_is_loaded_at_that_of_the_data(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0)
    for name in ("c", "e"):
        steps = 0.1 * drawn.standard_normal((4, 3, 576)).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", input=steps, sr=np.full(4, RATE))
    settings = NpzData(
        calibration=str(tmp_path / "c.npz"), evaluation=str(tmp_path / "e.npz"), state={"state": "stateN"}, steps=3
    )
    data = settings.open(tmp_path / "cache")
    (tmp_path / "out").mkdir()
    job = Job(tmp_path / "out", tmp_path, data, 0, "load")
    model = OnnxModel(path=str(SILERO)).load(job.out, data.signature, 0, job)
    assert model.signature.outputs[0].name == "output"
