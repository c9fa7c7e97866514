"""Pictures out: PSNR by its definition, depth with what a sensor did not see left out."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.contract import Signature, Tensor
from edgepipe.errors import DataError, MeasureError
from edgepipe.tasks.image import Image

SIGNATURE = Signature(input_shape=(1, 8, 8))
DRAWN = np.random.default_rng(5)


def _answered(task: Image, pictures: np.ndarray) -> dict[str, np.ndarray]:
    return task.answers({"out": pictures}, SIGNATURE, "model.onnx")


def test_psnr_is_the_peak_over_the_mean_square_of_each_picture() -> None:
    task, labels = Image(), np.full((3, 1, 16, 16), 0.5, np.float32)
    given = labels + np.array([0.1, 0.01, 0.0], np.float32).reshape(3, 1, 1, 1)
    found = task.measured(_answered(task, given), task.targets(labels, SIGNATURE))
    assert found["psnr"].value == pytest.approx((20 + 40 + 100) / 3, abs=1e-3)
    assert found["mae"].value == pytest.approx(0.11 / 3, abs=1e-6)
    bytes_too = Image(value_range=255)
    same = bytes_too.measured(_answered(bytes_too, 255 * given), bytes_too.targets(255 * labels, SIGNATURE))
    assert same["psnr"].value == pytest.approx(found["psnr"].value, abs=1e-3)


def test_a_paired_drop_is_that_of_each_picture() -> None:
    task, labels = Image(), DRAWN.random((40, 1, 16, 16)).astype(np.float32)
    loud = DRAWN.uniform(0.01, 0.2, (40, 1, 1, 1))
    noise = DRAWN.standard_normal(labels.shape)
    before, now = (_answered(task, (labels + s * loud * noise).astype(np.float32)) for s in (1.0, 1.05))
    targets = task.targets(labels, SIGNATURE)
    drop, own = task.compared(now, before, targets)["psnr"], task.measured(now, targets)["psnr"]
    assert drop.value == pytest.approx(task.measured(before, targets)["psnr"].value - own.value)  # type: ignore[operator]
    assert drop.ci95 is not None
    assert own.ci95 is not None
    assert drop.ci95[0] > 0
    assert drop.ci95[1] - drop.ci95[0] < (own.ci95[1] - own.ci95[0]) / 5


def test_values_beyond_the_range_are_cut_of_pictures_and_not_of_depth() -> None:
    values = np.array([-1.0, 0.5, 2.0, 3.0], np.float32).reshape(1, 1, 2, 2)
    assert _answered(Image(), values)["pictures"].ravel().tolist() == [0, 0.5, 1, 1]
    assert _answered(Image(kind="depth"), values)["pictures"].ravel().tolist() == [-1, 0.5, 2, 3]


def test_depth_that_a_sensor_did_not_see_is_not_judged_and_small_maps_are_enlarged() -> None:
    task = Image(kind="depth", value_range=10)
    labels = np.full((1, 1, 12, 12), 4.0, np.float32)
    labels[:, :, :6] = 0
    small = np.full((1, 1, 3, 3), 5.0, np.float32)
    found = task.measured(_answered(task, small), task.targets(labels, SIGNATURE))
    assert found["mae"].value == pytest.approx(1.0)
    nothing = task.measured(_answered(task, small), task.targets(0 * labels, SIGNATURE))
    assert all(figure.value is None for figure in nothing.values())


def test_a_border_is_left_out() -> None:
    task, labels = Image(border=2), np.zeros((1, 1, 16, 16), np.float32)
    given = labels.copy()
    given[..., :2, :] = 1
    found = task.measured(_answered(task, given), task.targets(labels, SIGNATURE))
    assert found["psnr"].value == 100.0
    with pytest.raises(MeasureError, match=r"task\.border=9 leaves nothing"):
        Image(border=9).measured(_answered(task, given), task.targets(labels, SIGNATURE))


def test_pictures_are_alike_from_40_db() -> None:
    one = np.full((2, 1, 8, 8), 0.5, np.float32)
    other = one + np.array([0.009, 0.011], np.float32).reshape(2, 1, 1, 1)
    assert Image().alike({"pictures": other}, {"pictures": one}).tolist() == [True, False]


def test_channels_at_the_end_are_taken_and_what_is_no_picture_refused() -> None:
    task, last = Image(), DRAWN.random((2, 12, 10, 3)).astype(np.float32)
    assert np.array_equal(_answered(task, last)["pictures"], np.moveaxis(last, 3, 1))
    with pytest.raises(DataError, match="image_pairs"):
        task.targets(np.zeros(4, np.int64), SIGNATURE)
    with pytest.raises(MeasureError, match=r"8x8 pixels, and the labels have 16x16.*data\.downscale"):
        given = _answered(task, np.zeros((1, 1, 8, 8), np.float32))
        task.measured(given, task.targets(np.zeros((1, 1, 16, 16), np.float32), SIGNATURE))
    assert "no picture" in str(task.misfit([Tensor(name="scores", shape=(10,))]))


@pytest.mark.parametrize(("objective", "wanted"), [("l1", 0.3), ("mse", 0.09), ("charbonnier", 0.3)])
def test_losses(objective: str, wanted: float) -> None:
    torch = pytest.importorskip("torch")
    task = Image(objective=objective)  # type: ignore[arg-type]
    assert float(task.loss(torch.full((1, 1, 4, 4), 0.8), torch.full((1, 1, 4, 4), 0.5))) == pytest.approx(wanted, 1e-3)
    depth = torch.zeros(1, 1, 4, 4)
    depth[..., 0] = 0.5
    found = Image(kind="depth").loss(torch.full((1, 1, 2, 2), 0.8), depth)
    assert float(found) == pytest.approx(0.3, abs=1e-6)
    with pytest.raises(DataError, match=r"data\.downscale"):
        task.loss(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 8, 8))
