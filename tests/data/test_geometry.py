"""Where pictures lie in the frame: against torchvision, and against the pixels themselves."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from edgepipe.data.decode import Work, decode
from edgepipe.data.geometry import Frame, placement, to_frame, to_source
from edgepipe.errors import DataError

FITS = ("stretch", "letterbox", "letterbox_corner", "crop")


def picture(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("size", "fit", "expected"),
    [
        ((200, 100), "stretch", (64, 32, 0, 0)),
        ((200, 100), "letterbox", (64, 32, 0, 0)),
        ((100, 100), "letterbox", (32, 32, 16, 0)),
        ((100, 100), "letterbox_corner", (32, 32, 0, 0)),
        ((400, 101), "letterbox", (64, 16, 0, 8)),
        ((3, 999), "letterbox", (1, 32, 31, 0)),
        ((999, 1), "letterbox_corner", (64, 1, 0, 0)),
        ((100, 100), "crop", (80, 80, -8, -24)),
        ((1000, 100), "crop", (400, 40, -168, -4)),
        ((64, 32), "crop", (64, 32, 0, 0)),
    ],
)
def test_every_fit_places_as_said(size: tuple[int, int], fit: str, expected: tuple[int, ...]) -> None:
    at = placement(*size, Frame(32, 64, 3, "bilinear", fit, crop_share=0.8))
    assert at[:4] == expected
    assert at[4:] == (at.width / size[0], at.height / size[1])


@pytest.mark.parametrize("side", [224, 32, 61])
@pytest.mark.parametrize("share", [0.875, 0.95, 1.0])
def test_crop_is_the_evaluation_of_torchvision_to_the_byte(side: int, share: float) -> None:
    evaluation = Compose([Resize(int(side / share), InterpolationMode.BICUBIC), CenterCrop(side)])
    frame = Frame(side, side, 3, "bicubic", "crop", crop_share=share)
    for width, height in ((300, 255), (255, 300), (37, 41), (500, 90)):
        given = picture(width, height)
        expected = np.asarray(evaluation(Image.fromarray(given)))
        assert np.array_equal(decode(Work(["a"], [given], frame))[0], expected)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(90, 40), (40, 90), (64, 64), (200, 180)])
def test_a_box_follows_what_it_surrounds(fit: str, size: tuple[int, int]) -> None:
    """A white rectangle is looked for in the pixels."""
    width, height = size
    box = np.array([[0.3 * width, 0.35 * height, 0.6 * width, 0.7 * height]]).round()
    given = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = box[0].astype(int)
    given[y1:y2, x1:x2] = 255
    frame = Frame(48, 64, 3, "bilinear", fit, fill=0)
    found = decode(Work(["a"], [given], frame))[0, :, :, 0] > 127
    rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    at = placement(width, height, frame)
    assert np.abs(to_frame(box, at)[0].clip(0, [64, 48, 64, 48]) - seen).max() <= 1
    assert np.allclose(to_source(to_frame(box, at), at), box, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_letterbox_is_filled_and_the_order_turned(channels: int) -> None:
    given = picture(50, 100)
    plain = decode(Work(["a"], [given], Frame(100, 100, channels, "bilinear", "letterbox", fill=7)))[0]
    assert (plain[:, :25] == 7).all() and (plain[:, 75:] == 7).all()
    inside = given if channels == 3 else np.asarray(Image.fromarray(given).convert("L"))[..., None]
    assert np.array_equal(plain[:, 25:75], inside)
    turned = decode(Work(["a"], [given], Frame(100, 100, channels, "bilinear", "letterbox", 7, "bgr")))[0]
    assert np.array_equal(turned, plain[..., ::-1])


def test_a_thread_of_pixels_is_not_blown_up() -> None:
    stream = io.BytesIO()
    Image.new("L", (60_000, 1)).save(stream, "PNG")
    with pytest.raises(DataError, match=r"a/1.png: 60000x1 pixels: resized for data.fit=crop these are 153"):
        decode(Work(["a/1.png"], [stream.getvalue()], Frame(224, 224, 3, "bilinear", "crop")))
