"""What hangs on the other examples of its batch is measured, calibrated and compared one example at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepipe.__main__ import main
from edgepipe.contract import Split
from edgepipe.measure.answers import Answered, Model, answered, hangs_on_neighbours
from edgepipe.onnx.answers import session_answers
from edgepipe.onnx.batch_axis import neighbours
from edgepipe.quant.study.answers import batch_of
from edgepipe.records.metrics import read_metrics
from edgepipe.tasks.classification import Classification
from edgepipe.tasks.embedding import Embedding
from tests.measure.graphs import Arrays, pictures, small_network

CLASSES = 10
LABELS = np.arange(80) % CLASSES
X = (np.eye(CLASSES, dtype=np.float32)[LABELS] + np.float32([5, *[0] * 9])).astype(np.float32)
"""Class 0 wins in every example, but for whoever takes the mean over a batch away."""


def centred(path: Path, batch: int | str = "n", *, mixing: bool = True) -> Path:
    """(n, 10) to (n, 10): the mean over the batch taken away, or over nothing; and a product that can be int8."""
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["x", "axis"], ["mean"], keepdims=1),
            helper.make_node("Mul", ["mean", "how"], ["off"]),
            helper.make_node("Sub", ["x", "off"], ["c"]),
            helper.make_node("MatMul", ["c", "w"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, CLASSES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, CLASSES])],
        [
            numpy_helper.from_array(np.array([0]), "axis"),
            numpy_helper.from_array(np.float32(mixing), "how"),
            numpy_helper.from_array(np.eye(CLASSES, dtype=np.float32), "w"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


class _Both(Arrays):
    """The same examples to evaluate and to calibrate with."""

    def count(self, split: Split) -> int:
        return len(self.inputs) if split is not Split.TRAIN else 0


def data() -> _Both:
    found = _Both(X, LABELS)
    found.signature = found.signature.model_copy(update={"classes": ()})
    return found


def test_a_mean_over_the_batch_is_measured_one_example_at_a_time_and_told(tmp_path: Path) -> None:
    found = answered(Model.of(centred(tmp_path / "m.onnx"), data()), data(), Classification())
    assert (found.answers["answers"] == 0).all()  # alone; among others all are right
    said = hangs_on_neighbours(found)
    assert said is not None
    assert "hangs on the other examples" in said
    numbers = answered(Model.of(centred(tmp_path / "m.onnx"), data()), data(), Embedding())
    assert np.abs(numbers.answers["values"]).max() == 0
    assert hangs_on_neighbours(numbers) == said
    for kept, task in ((found, Classification()), (numbers, Embedding())):
        kept.save(tmp_path / "kept.npz")
        assert Answered.load(tmp_path / "kept.npz", task, 80).neighbours == kept.neighbours


def test_parity_and_calibration_take_single_examples_of_it(tmp_path: Path) -> None:
    path = centred(tmp_path / "m.onnx")
    assert np.abs(session_answers(path)(X)).max() == 0
    assert batch_of(onnx.load(path), data(), 25) == 1


def test_a_network_of_its_own_statistics_keeps_its_batches(tmp_path: Path) -> None:
    plain = centred(tmp_path / "m.onnx", mixing=False)
    found = answered(Model.of(plain, data()), data(), Classification())
    assert found.neighbours == 0
    assert hangs_on_neighbours(found) is None
    assert batch_of(onnx.load(plain), data(), 25) == 25
    drawn = pictures()
    small = small_network(tmp_path / "s.onnx")
    assert batch_of(onnx.load(small), _Both(drawn.inputs, drawn.given), 25) == 25
    alone = Model.of(centred(tmp_path / "f.onnx", 1), data())
    assert answered(alone, data(), Classification()).neighbours == 0  # one at a time whatever it does


def test_alike_examples_do_not_hide_it() -> None:
    rows = np.repeat(X[:1], 4, axis=0)
    assert neighbours(lambda rows: rows - rows.mean(axis=0), rows) > 0.5
    assert neighbours(lambda rows: rows * np.float32(1 + 1e-6 * len(rows)), rows) == 0


def test_a_run_says_it_once_and_reports_what_is_deployed(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", inputs=X, labels=LABELS)
    np.savez(tmp_path / "c.npz", inputs=X[:30] + np.float32(0.25))
    arguments = ["recipe=ptq", "model=onnx", f"model.path={centred(tmp_path / 'm.onnx')}", "data=npz", "~goal"]
    arguments += [f"data.evaluation={tmp_path}/e.npz", f"data.calibration={tmp_path}/c.npz"]
    assert main([*arguments, f"store.root={tmp_path}/store", f"hydra.run.dir={tmp_path}/run"]) == 0
    metrics = read_metrics(tmp_path / "run")
    assert metrics.baseline is not None
    assert metrics.baseline.top1 == pytest.approx(0.1)
    told = [text for step in metrics.passes for text in step.findings if "hangs on the other examples" in text]
    assert len(told) == 1
