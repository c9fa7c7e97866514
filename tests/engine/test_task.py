"""Labels say the task unless outputs object; what nobody knows is judged by how near it stays to the baseline."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgepipe.__main__ import main
from edgepipe.engine.task import asks_the_model, by_model, by_outputs, named, outputs_of
from edgepipe.records.metrics import read_metrics
from tests.measure.graphs import pictures, save, small_network
from tests.small import arguments


def maps(path: Path) -> Path:
    """Answers (n, 3, 16, 16): no vector of scores."""
    return save(path, [helper.make_node("Relu", ["x"], ["y"])], [], output_shape=("n", 3, 16, 16))


def two_outputs(path: Path) -> Path:
    """The small network, which answers its feature maps, too."""
    model = onnx.load(small_network(path))
    model.graph.output.append(helper.make_tensor_value_info("r2", 1, ["n", 32, 8, 8]))
    onnx.save(model, path)
    return path


def test_a_vector_of_scores_is_a_classifier_with_labels_or_without(tmp_path: Path) -> None:
    path = small_network(tmp_path / "m.onnx")
    for labelled in (True, False):
        data = pictures(4, labelled=labelled)
        found = by_outputs(named("classification"), data, outputs_of(path, data))
        assert (found.name, found.why) == ("classification", "")


def test_labels_of_classes_beside_maps_are_told_and_judge_nothing(tmp_path: Path) -> None:
    outputs = outputs_of(maps(tmp_path / "m.onnx"), pictures(4))
    found = by_outputs(named("classification"), pictures(4), outputs)
    assert found.name == "agreement"
    assert found.why.startswith("the labels are those of classification, but its first output is float32 [3, 16, 16]")


def test_without_labels_several_outputs_are_of_no_task(tmp_path: Path) -> None:
    path = two_outputs(tmp_path / "m.onnx")
    outputs = outputs_of(path, pictures(4))
    found = by_outputs(named("classification"), pictures(4, labelled=False), outputs)
    assert (found.name, found.why) == ("agreement", "")
    assert by_outputs(named("classification"), pictures(4), outputs).name == "classification"  # the labels say so


def test_outputs_without_a_declared_shape_are_looked_at(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [], output_shape=None)
    (found,) = outputs_of(path, pictures(4))
    assert (found.name, found.dtype, found.shape) == ("y", "float32", (3, 16, 16))


@pytest.mark.parametrize("labels", [True, False])
def test_a_run_of_a_model_with_two_outputs_says_in_its_record_what_it_was_judged_by(
    tmp_path: Path, labels: bool
) -> None:
    argv = arguments(tmp_path, f"hydra.run.dir={tmp_path}/run", labels=labels)
    two_outputs(tmp_path / "m.onnx")
    assert main(argv) == 0
    metrics = read_metrics(tmp_path / "run")
    assert metrics.task is not None
    assert metrics.final is not None
    assert metrics.versus_baseline is not None
    wanted = "classification" if labels else "agreement"
    assert metrics.task.name == wanted
    assert list(metrics.final.quality) == [measure.name for measure in metrics.task.measures]
    assert metrics.versus_baseline.alike is not None
    manifest = json.loads((tmp_path / "run" / "steps" / "00_load" / "manifest.json").read_text())
    assert manifest["signature"]["task"] == wanted
    if not labels:
        assert 0.9 < (metrics.final.quality["cosine"].value or 0) < 1
        assert {item.name for item in metrics.versus_baseline.outputs} == {"y", "r2"}


def test_labels_of_another_task_than_the_recipe_names_are_refused_before_the_model_is_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    argv = arguments(tmp_path, "task=classification", f"hydra.run.dir={tmp_path}/run")
    inputs = np.load(tmp_path / "e.npz")["images"]
    np.savez(tmp_path / "e.npz", images=inputs, labels=np.linspace(0, 1, len(inputs), dtype=np.float32))
    assert main(argv) == 2
    assert "classification needs integer labels" in capfd.readouterr().err
    assert not (tmp_path / "run" / "steps").exists()


def test_what_a_task_leaves_open_is_said_by_the_models_file(tmp_path: Path) -> None:
    path = small_network(tmp_path / "m.onnx")
    model = onnx.load(path)
    helper.set_model_props(model, {"character": "a\nb"})
    onnx.save(model, path)
    assert not asks_the_model(named("classification"))
    judged = named("ctc_text")
    assert asks_the_model(judged)
    found = by_model(judged, path)
    assert found.task.model_dump()["alphabet"] == ("a", "b")
    assert found.key() != judged.key()
