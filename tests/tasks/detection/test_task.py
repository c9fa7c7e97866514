"""The task over whole batches: figures, what is alike, what is refused and in which words."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from edgepipe.contract import Preprocessing, Signature, Tensor
from edgepipe.errors import DataError, MeasureError
from edgepipe.tasks.detection.task import Detection
from tests.tasks.detection.heads.test_yolov5 import decoded, maps
from tests.tasks.detection.scenes import BOXES, SIZE, crowd, placed

ABOUT = Preprocessing(image_size=SIZE, channels=3, mean=(0.0,) * 3, std=(1.0,) * 3)
SIGNATURE = Signature(input_shape=(3, *SIZE), classes=("ant", "bee", "cow"), preprocessing=ABOUT)
TASK = Detection(max_boxes=30)


def v8() -> np.ndarray:
    return np.concatenate(placed(), -1).transpose(0, 2, 1).astype(np.float32)


def test_intervals_hold_the_figures_and_the_paired_one_is_the_narrower() -> None:
    boxes, truth = crowd(1, count=60)
    worse = boxes.copy()
    worse[::4, :, :4] += 4
    found = TASK.measured({"boxes": boxes}, {"truth": truth})
    drop = TASK.compared({"boxes": worse}, {"boxes": boxes}, {"truth": truth})
    now = TASK.measured({"boxes": worse}, {"truth": truth})
    for name in ("map", "map50"):
        value, ci95 = found[name]
        assert value is not None and ci95 is not None and ci95[0] < value < ci95[1]
        change, around = drop[name]
        assert change == pytest.approx(value - (now[name].value or 0)) and change > 0
        assert around is not None and around[0] < change < around[1]
        assert around[1] - around[0] < ci95[1] - ci95[0]
    told = TASK.by_class({"boxes": boxes}, {"truth": truth}, SIGNATURE)
    assert list(told) == ["AP", "AP50"] and list(told["AP"]) == ["ant", "bee", "cow"]
    assert np.mean(list(told["AP"].values())) == pytest.approx(found["map"].value)


def test_a_decoded_batch_is_padded_and_beside_raw_maps_the_decoded_output_is_read() -> None:
    found = TASK.answers({"output0": v8()}, SIGNATURE, "m.onnx")["boxes"]
    assert found.shape == (2, 30, 6) and found.dtype == np.float32
    assert np.allclose(found[:, :2], BOXES, atol=2e-3)
    outputs = {"output": decoded(maps()), **{f"map{i}": each for i, each in enumerate(maps())}}
    again = TASK.answers({name: v.astype(np.float32) for name, v in outputs.items()}, SIGNATURE, "m.onnx")["boxes"]
    assert np.allclose(again[:, :2], BOXES, atol=0.01)


def test_the_outputs_and_the_head_may_be_named() -> None:
    outputs = {"odd": np.zeros((2, 5), np.float32), "output0": v8()}
    with pytest.raises(MeasureError, match=r"m.onnx: task.head=auto: outputs odd \[5\], output0 .* of no head"):
        TASK.answers(outputs, SIGNATURE, "m.onnx")
    named = TASK.model_copy(update={"outputs": ("output0",)})
    assert np.allclose(named.answers(outputs, SIGNATURE, "m.onnx")["boxes"][:, :2], BOXES, atol=2e-3)
    with pytest.raises(MeasureError, match=r"task.head=detr: outputs output0 .* are not of detr: two outputs"):
        TASK.model_copy(update={"head": "detr"}).answers({"output0": v8()}, SIGNATURE, "m.onnx")
    with pytest.raises(MeasureError, match=r"task.outputs: it has no output 'x', only odd, output0"):
        TASK.model_copy(update={"outputs": ("x",)}).answers(outputs, SIGNATURE, "m.onnx")


def test_alike_is_the_same_class_at_nearly_the_same_place_and_score() -> None:
    def alike(change: np.ndarray) -> list[bool]:
        found = TASK.alike({"boxes": change.astype(np.float32)}, {"boxes": BOXES})
        again = TASK.alike({"boxes": BOXES}, {"boxes": change.astype(np.float32)})
        assert found.tolist() == again.tolist()
        return list(found.tolist())

    assert alike(BOXES) == [True, True]
    assert alike(BOXES + np.float32([1, 0, 1, 0, 0, -0.05])) == [True, True]
    assert alike(BOXES + np.float32([0, 0, 0, 0, 0, -0.15])) == [False, False]
    moved, other, fewer, faint = (BOXES.copy() for _ in range(4))
    moved[0, 0, :4] += 5
    other[1, 0, 4] = 2
    fewer[0, 1, 4] = -1
    faint[1, 1] = [0, 0, 20, 20, 1, 0.29]  # below what is shown
    assert alike(moved) == [False, True]
    assert alike(other) == [True, False]
    assert alike(fewer) == [False, True]
    assert alike(faint) == [True, True]


def test_without_labels_the_boxes_that_the_baseline_shows_are_right() -> None:
    faint = BOXES.copy()
    faint[0, 1, 5] = 0.2
    targets = TASK.targets_of({"boxes": faint})
    assert targets is not None and targets["truth"][..., 4].tolist() == [[0, -1], [1, -1]]
    assert TASK.measured({"boxes": faint}, targets)["map50"].value == pytest.approx(1)


def test_what_was_found_and_is_no_more_is_shown() -> None:
    truth = BOXES * np.float32([1, 1, 1, 1, 1, 0])
    lost = BOXES.copy()
    lost[1, 0, 5] = 0.1
    assert TASK.lost({"boxes": lost}, {"boxes": BOXES}, {"truth": truth}).tolist() == [1]
    assert TASK.say({"boxes": lost}, 1, SIGNATURE) == "no box"
    assert TASK.say({"truth": truth}, 0, SIGNATURE) == "1 ant, 1 cow"
    assert TASK.notes({"boxes": BOXES}, None, {"truth": truth}, SIGNATURE) == []
    assert TASK.notes({"boxes": lost * 0 - 1}, {"boxes": lost * 0 - 1}, {"truth": truth}, SIGNATURE) == []
    assert "lost the model" in TASK.notes({"boxes": lost * 0 - 1}, {"boxes": BOXES}, {"truth": truth}, SIGNATURE)[0]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([("y", "float32", (10,))], "of no detector's head"),
        ([("y", "float32", (1000, 85))], None),
        ([("y", "float32", (84, 8400))], None),
        ([("boxes", "float32", (4,)), ("labels", "int64", ()), ("scores", "float32", ())], None),
        ([("y", "float32", ("any", 6))], None),
    ],
)
def test_outputs_that_are_no_detectors_are_known_before_anything_runs(outputs: list, message: str | None) -> None:
    said = TASK.misfit([Tensor(name=name, dtype=dtype, shape=shape) for name, dtype, shape in outputs])
    assert (said is None) if message is None else message in (said or "")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head": "yolo"}, "'yolox'"),
        ({"strides": [8, 8]}, "strides are different numbers"),
        ({"anchors": [[1, 2]]}, "six numbers above 0"),
        ({"labels": [1, 1]}, "labels are different numbers"),
        ({"score": 1.5}, "less than 1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Detection.model_validate(settings)


def test_labels_of_another_task_and_numbers_for_other_classes_are_refused() -> None:
    with pytest.raises(DataError, match=r"needs boxes, \(examples, boxes, 6\).*found int64 of shape \(3,\)"):
        TASK.targets(np.arange(3), SIGNATURE)
    with pytest.raises(DataError, match=r"task.labels: 2 numbers, and the data has 3 classes"):
        Detection(labels=(1, 2)).targets(BOXES, SIGNATURE)
