"""Masks: measured as scikit-learn does, decoded from maps of any size and layout."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.contract import Signature, Tensor
from edgepipe.errors import DataError, MeasureError
from edgepipe.tasks.segmentation import Segmentation

SIGNATURE = Signature(input_shape=(3, 12, 16), classes=("road", "sky", "tree"))
DRAWN = np.random.default_rng(3)


def _masks(count: int = 20, classes: int = 3) -> np.ndarray:
    return DRAWN.integers(0, classes, (count, 12, 16)).astype(np.uint8)


def _maps(masks: np.ndarray, classes: int = 3) -> np.ndarray:
    return np.moveaxis(np.eye(classes, dtype=np.float32)[masks], 3, 1)


def _answered(task: Segmentation, maps: np.ndarray, signature: Signature = SIGNATURE) -> np.ndarray:
    return task.answers({"maps": maps}, signature, "model.onnx")["masks"]


def test_iou_and_accuracy_are_those_of_scikit_learn_without_ignored_pixels() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    task, labels = Segmentation(), _masks()
    said = np.where(DRAWN.random(labels.shape) < 0.7, labels, _masks()).astype(np.uint8)
    labels[DRAWN.random(labels.shape) < 0.1] = 255
    kept = labels != 255
    targets = task.targets(labels, SIGNATURE)
    found = task.measured({"masks": said}, targets)
    each = metrics.jaccard_score(labels[kept], said[kept], average=None)
    assert found["miou"].value == pytest.approx(each.mean())
    assert found["pixel_accuracy"].value == pytest.approx((labels == said)[kept].mean())
    told = task.by_class({"masks": said}, targets, SIGNATURE)
    assert list(told["IoU"]) == ["road", "sky", "tree"]
    assert list(told["IoU"].values()) == pytest.approx(list(each))
    for figure in found.values():
        assert figure.ci95 is not None
        assert figure.ci95[0] < figure.value < figure.ci95[1]  # type: ignore[operator]


def test_a_class_that_no_label_has_is_not_among_the_classes_of_the_mean() -> None:
    task = Segmentation()
    labels = np.zeros((1, 2, 4), np.uint8)
    said = labels.copy()
    said[0, 0, 0] = 2
    found = task.measured({"masks": said}, task.targets(labels, SIGNATURE))
    assert found["miou"].value == pytest.approx(7 / 8)


def test_small_maps_are_enlarged_as_torch_does_before_the_best_is_taken() -> None:
    torch = pytest.importorskip("torch")
    for size in ((3, 4), (5, 7), (12, 16), (24, 33)):
        maps = DRAWN.standard_normal((2, 3, *size)).astype(np.float32)
        wanted = torch.nn.functional.interpolate(torch.from_numpy(maps), (12, 16), mode="bilinear").argmax(1).numpy()
        # Two scores that are equal but for rounding may fall either way.
        assert np.mean(_answered(Segmentation(layout="channels_first"), maps) == wanted) > 0.995


def test_classes_stand_on_the_axis_that_leaves_the_picture_its_proportions() -> None:
    masks = _masks()
    maps = _maps(masks)
    assert (_answered(Segmentation(), maps) == masks).all()
    assert (_answered(Segmentation(), np.moveaxis(maps, 1, 3)) == masks).all()
    assert (_answered(Segmentation(layout="channels_last"), np.moveaxis(maps, 1, 3)) == masks).all()


@pytest.mark.parametrize("shape", [(20, 12, 16), (20, 1, 12, 16), (20, 12, 16, 1)])
def test_classes_that_the_model_answers_itself_are_taken(shape: tuple[int, ...]) -> None:
    masks = _masks()
    assert (_answered(Segmentation(), masks.astype(np.int64).reshape(shape)) == masks).all()


def test_one_map_says_class_1_from_the_threshold() -> None:
    logits = np.array([-2.0, -0.1, 0.1, 2.0], np.float32).reshape(1, 1, 1, 4)
    signature = Signature(input_shape=(3, 1, 4))
    assert _answered(Segmentation(), logits, signature).tolist() == [[[0, 0, 1, 1]]]
    assert _answered(Segmentation(threshold=0.8), logits, signature).tolist() == [[[0, 0, 0, 1]]]
    probabilities = np.array([0.1, 0.4, 0.6, 0.9], np.float32).reshape(1, 1, 1, 4)
    assert _answered(Segmentation(), probabilities, signature).tolist() == [[[0, 0, 1, 1]]]
    assert _answered(Segmentation(scores="logits"), probabilities, signature).tolist() == [[[1, 1, 1, 1]]]


def test_labels_of_another_size_are_met_by_the_nearest_pixel() -> None:
    task, masks = Segmentation(), _masks()
    large = masks.repeat(2, axis=1).repeat(2, axis=2)
    found = task.measured({"masks": masks}, task.targets(large, SIGNATURE))
    assert found["miou"].value == found["pixel_accuracy"].value == 1.0


def test_a_paired_drop_is_narrower_than_the_intervals_of_both() -> None:
    task, labels = Segmentation(), _masks(60)
    share = DRAWN.random((60, 1, 1))
    before = np.where(DRAWN.random(labels.shape) < share, labels, 0).astype(np.uint8)
    now = np.where(DRAWN.random(labels.shape) < 0.02, 1, before).astype(np.uint8)
    targets = task.targets(labels, SIGNATURE)
    drop = task.compared({"masks": now}, {"masks": before}, targets)["miou"]
    own = task.measured({"masks": now}, targets)["miou"]
    assert drop.ci95 is not None
    assert own.ci95 is not None
    assert drop.ci95[0] < drop.value < drop.ci95[1]  # type: ignore[operator]
    assert drop.ci95[1] - drop.ci95[0] < (own.ci95[1] - own.ci95[0]) / 4


def test_masks_are_alike_when_99_percent_of_the_pixels_agree() -> None:
    one = np.zeros((2, 20, 20), np.uint8)
    other = one.copy()
    other.reshape(2, -1)[0, :4] = 1
    other.reshape(2, -1)[1, :5] = 1
    assert Segmentation().alike({"masks": other}, {"masks": one}).tolist() == [True, False]
    assert Segmentation(alike_share=0.95).alike({"masks": other}, {"masks": one}).all()


def test_what_cannot_be_judged_is_refused_with_the_remedy() -> None:
    task = Segmentation()
    with pytest.raises(DataError, match="mask_folder"):
        task.targets(np.zeros(4, np.int64), SIGNATURE)
    with pytest.raises(DataError, match=r"a class 7, but m\.onnx tells 3 classes apart.*ignore_index"):
        task.check_labels({"m": _maps(_masks())}, {"masks": np.full((1, 2, 2), 7, np.uint8)}, "m.onnx")
    with pytest.raises(MeasureError, match="no output 'seg'"):
        Segmentation(output="seg").answers({"m": _maps(_masks())}, SIGNATURE, "m.onnx")
    assert "no maps" in str(task.misfit([Tensor(name="scores", shape=(10,))]))
    assert "no output 'seg'" in str(Segmentation(output="seg").misfit([Tensor(name="m", shape=(3, 4, 4))]))


def test_a_model_that_sees_one_class_everywhere_is_told() -> None:
    task, labels = Segmentation(), _masks()
    same = {"masks": np.ones_like(labels)}
    (note,) = task.notes(same, None, task.targets(labels, SIGNATURE), SIGNATURE)
    assert "'sky'" in note
    assert task.notes({"masks": labels}, None, None, SIGNATURE) == []
    assert task.say({"masks": labels * 0}, 0, SIGNATURE) == "road 100.0%"


def test_loss_passes_ignored_pixels_over_and_counts_a_second_head_half() -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    task, maps = Segmentation(), torch.randn(2, 3, 12, 16)
    masks = torch.from_numpy(_masks(2)).clone()
    masks[:, :3] = 255
    wanted = functional.cross_entropy(maps, masks.long(), ignore_index=255)
    assert float(task.loss(maps, masks)) == pytest.approx(float(wanted), rel=1e-5)
    assert float(task.loss({"out": maps, "aux": maps}, masks)) == pytest.approx(1.5 * float(wanted), rel=1e-5)
    assert float(task.loss(maps, torch.full_like(masks, 255))) == 0.0
    small = torch.randn(2, 3, 3, 4)
    large = functional.interpolate(small, (12, 16), mode="bilinear")
    assert float(task.loss(small, masks)) == pytest.approx(float(task.loss(large, masks)), rel=1e-5)
    one = torch.randn(2, 1, 12, 16)
    binary = (masks == 1).to(torch.uint8)
    wanted = functional.binary_cross_entropy_with_logits(one[:, 0], binary.float())
    assert float(task.loss(one, binary)) == pytest.approx(float(wanted), rel=1e-5)
