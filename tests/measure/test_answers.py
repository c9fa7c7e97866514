from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from edgepipe.contract import Answers, Dataset
from edgepipe.errors import DataError, MeasureError, ModelError
from edgepipe.measure.answers import Answered, Model, answered, targets_of
from edgepipe.tasks.agreement import Agreement
from edgepipe.tasks.classification import Classification
from tests.measure.graphs import Arrays, dynamic, pictures, save, small_network

TASK = Classification()


def predict(path: Path, data: Dataset, *, shown: str | None = None, **how: Any) -> Answers:
    return answered(Model.of(path, data, shown), data, TASK, **how).answers


def top1(answers: Answers, data: Dataset) -> float | None:
    targets = targets_of(TASK, data, answers)
    assert targets is not None
    return TASK.measured(answers, targets)["top1"].value


def identity_scores(path: Path) -> Path:
    """Answers the input itself: (n, 6) scores."""
    return save(path, [helper.make_node("Identity", ["x"], ["y"])], [], input_shape=("n", 6), output_shape=("n", 6))


def test_answers_top5_and_accuracy_follow_from_the_scores(tmp_path: Path) -> None:
    scores = np.array([[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [1, 1, 1, 1, 1, 1]], np.float32)
    data = Arrays(scores, np.array([5, 5, 1]))
    found = predict(identity_scores(tmp_path / "m.onnx"), data, batch_size=2)
    assert found["answers"].tolist() == [5, 0, 0]
    assert found["top5"].tolist() == [[5, 4, 3, 2, 1], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert top1(found, data) == pytest.approx(1 / 3)
    assert TASK.measured(found, {"labels": np.array([5, 5, 1])})["top5"].value == pytest.approx(2 / 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_an_error_naming_the_file(tmp_path: Path, bad: float) -> None:
    scores = np.zeros((3, 6), np.float32)
    scores[1, 2] = bad
    with pytest.raises(MeasureError, match=r"broken\.onnx: (NaN|infinite) scores"):
        predict(identity_scores(tmp_path / "broken.onnx"), Arrays(scores, None))


def test_a_fixed_batch_answers_as_a_dynamic_one_with_the_last_batch_padded(tmp_path: Path) -> None:
    data = pictures(30)
    free = predict(small_network(tmp_path / "free.onnx"), data)
    fixed = predict(small_network(tmp_path / "fixed.onnx", batch=7), data)
    assert len(fixed["answers"]) == 30
    assert fixed["answers"].tolist() == free["answers"].tolist()


def test_a_dynamically_quantized_model_answers_the_same_whatever_the_batch(tmp_path: Path) -> None:
    model = dynamic(small_network(tmp_path / "f.onnx"), tmp_path / "d.onnx", "Conv", "MatMul")
    data = pictures(20)
    one, many = predict(model, data, batch_size=1), predict(model, data, batch_size=20)
    assert one["top5"].tolist() == many["top5"].tolist()


def test_a_first_few_of_one_range_do_not_hide_that_ranges_are_those_of_the_batch(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weight = numpy_helper.from_array(rng.standard_normal((16, 8)).astype(np.float32), "w")
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    float_file = save(tmp_path / "f.onnx", [product], [weight], input_shape=("n", 16), output_shape=("n", 8))
    model = dynamic(float_file, tmp_path / "d.onnx", "MatMul")
    inputs = rng.standard_normal((60, 16)).astype(np.float32)
    inputs[:4] = inputs[0]
    inputs[-1] *= 100  # beside it, all others are a few steps
    one, many = (predict(model, Arrays(inputs, None), batch_size=size) for size in (1, 60))
    assert one["top5"].tolist() == many["top5"].tolist()


def test_answers_survive_saving_and_damage_is_named(tmp_path: Path) -> None:
    saved = Answered({"answers": np.array([1, 2]), "top5": np.array([[1, 0], [2, 0]])}, 2, neighbours=0.5)
    saved.save(tmp_path / "p.npz")
    loaded = Answered.load(tmp_path / "p.npz", TASK, 2)
    assert loaded.answers["answers"].tolist() == [1, 2]
    assert (loaded.count, loaded.neighbours) == (2, 0.5)
    with pytest.raises(MeasureError, match=r"p\.npz: no answers to 3 examples"):
        Answered.load(tmp_path / "p.npz", TASK, 3)
    (tmp_path / "p.npz").write_bytes(b"no archive")
    with pytest.raises(MeasureError, match=r"p\.npz: not saved answers"):
        Answered.load(tmp_path / "p.npz", TASK, 2)


def test_outputs_may_be_called_anything_when_they_are_saved(tmp_path: Path) -> None:
    names = ["file", "names", "a/b:0"]
    answers: Answers = {name: np.arange(4, dtype=np.float32) for name in names}
    answers |= {f"{name}:size": np.full(2, 2) for name in names}
    Answered(answers, 2).save(tmp_path / "p.npz")
    loaded = Answered.load(tmp_path / "p.npz", Agreement(), 2).answers
    assert list(loaded) == list(answers)
    assert all((loaded[name] == answers[name]).all() for name in answers)


def test_a_wrong_input_shape_is_explained(tmp_path: Path) -> None:
    model = small_network(tmp_path / "m.onnx")
    with pytest.raises(MeasureError, match=r"m\.onnx: input 'x' has 4 axes, but the data gives 2"):
        predict(model, Arrays(np.zeros((2, 5), np.float32), None))
    with pytest.raises(MeasureError, match=r"m\.onnx: ONNX Runtime failed on input .*\(1, 4, 16, 16\)"):
        predict(model, Arrays(np.zeros((2, 4, 16, 16), np.float32), None))


def test_labels_that_the_model_cannot_answer_are_refused(tmp_path: Path) -> None:
    model = identity_scores(tmp_path / "m.onnx")
    scores = np.eye(6, dtype=np.float32)
    data = Arrays(scores, np.arange(6))
    assert top1(predict(model, data), data) == 1.0
    with pytest.raises(DataError, match=r"a label 6, but .*m\.onnx scores 6 classes, 0 to 5\. Labels count from 0"):
        predict(model, Arrays(scores, np.arange(1, 7)))


def test_a_model_that_is_no_classifier_and_an_unreadable_file_are_refused(tmp_path: Path) -> None:
    maps = save(tmp_path / "maps.onnx", [helper.make_node("Relu", ["x"], ["y"])], [], output_shape=None)
    with pytest.raises(MeasureError, match="expected one score per class"):
        predict(maps, pictures(2))
    (tmp_path / "junk.onnx").write_bytes(b"\xff\xfe junk")
    with pytest.raises(MeasureError, match=r"junk\.onnx: not a readable ONNX file"):
        predict(tmp_path / "junk.onnx", pictures(2))


@pytest.mark.parametrize("labels", [np.array([0, 1, 1]), None])
def test_one_score_is_no_classifier_and_the_message_says_what_to_do(tmp_path: Path, labels: np.ndarray | None) -> None:
    nodes = [helper.make_node("Sigmoid", ["x"], ["y"])]
    sigmoid = save(tmp_path / "m.onnx", nodes, [], input_shape=("n", 1), output_shape=("n", 1))
    with pytest.raises(ModelError, match=r"model\.path: my\.onnx: gives one score .*two scores 1 - p.*task=regression"):
        predict(sigmoid, Arrays(np.ones((3, 1), np.float32), labels), shown="model.path: my.onnx")


def test_no_evaluation_examples_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match="no evaluation examples"):
        predict(small_network(tmp_path / "m.onnx"), Arrays(np.zeros((0, 3, 16, 16), np.float32), None))


def test_a_float16_model_is_fed_float16(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.eye(6, dtype=np.float16), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "half",
        [helper.make_tensor_value_info("x", 10, ["n", 6])],
        [helper.make_tensor_value_info("y", 10, ["n", 6])],
        [weight],
    )
    path = tmp_path / "half.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    )
    scores = np.eye(6, dtype=np.float32)
    assert predict(path, Arrays(scores, np.arange(6)))["answers"].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.5, "gives values from 0 to 0.5"), (-1.0, "gives values from -1 to 0"), (256.0, "gives values from 0 to 256")],
)
def test_values_that_a_graph_of_bytes_cannot_take_are_refused_before_they_are_cast(
    tmp_path: Path, value: float, said: str
) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=1), helper.make_node("Flatten", ["f"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 2, ["n", 3])],
        [helper.make_tensor_value_info("y", 1, ["n", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    inputs = np.zeros((6, 3), np.float32)
    inputs[np.arange(6), np.arange(6) % 3] = 7.9999995  # a whole number but for its last bit
    labels = np.arange(6, dtype=np.int64) % 3
    data = Arrays(inputs, labels)
    assert top1(predict(tmp_path / "m.onnx", data, batch_size=4), data) == 1.0
    inputs[:] = 0
    inputs[0, 0] = value
    with pytest.raises(
        ModelError, match=r"its input 'x' takes whole numbers \(uint8, 0 to 255\), but the data " + said
    ):
        predict(tmp_path / "m.onnx", Arrays(inputs, labels), batch_size=4)
