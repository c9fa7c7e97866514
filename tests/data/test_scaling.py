from __future__ import annotations

import numpy as np
import pytest

from edgepipe.contract import Preprocessing
from edgepipe.data.scaling import divisor, every_byte, is_picture, normalized, pixels_of, shown

WAYS = [
    Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    Preprocessing(mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395), scale=1.0, order="bgr"),
    Preprocessing(mean=(1.0,) * 3, std=(1.0,) * 3, scale=1 / 127.5),
    Preprocessing(mean=(0.5,), std=(0.5,)),
]


@pytest.mark.parametrize("about", WAYS)
def test_bytes_become_what_is_written_and_come_back(about: Preprocessing) -> None:
    channels = len(about.mean)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 9, 7, channels), np.uint8)
    found = normalized(pixels, about)
    assert found.dtype == np.float32 and found.shape == (4, channels, 9, 7) and found.flags.c_contiguous
    wanted = (pixels * about.scale - np.array(about.mean)) / np.array(about.std)
    assert np.allclose(found, wanted.transpose(0, 3, 1, 2), atol=1e-5)
    assert np.array_equal(pixels_of(found, about), pixels.transpose(0, 3, 1, 2))
    values = every_byte(about)
    for channel in range(channels):
        assert np.array_equal(values[channel][pixels[..., channel]], found[:, channel])
    assert is_picture(found.shape[1:], about) and not is_picture(found.shape, about)


def test_the_usual_scale_divides_by_255_to_the_bit() -> None:
    assert divisor(WAYS[0]) == 255
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    plain = Preprocessing(mean=(0.0,), std=(1.0,))
    assert np.array_equal(normalized(pixels, plain).ravel(), np.arange(256, dtype=np.float32) / np.float32(255))


def test_people_see_red_as_red() -> None:
    red = np.zeros((1, 2, 2, 3), np.uint8)
    red[..., 2] = 255  # in the order of the network
    about = WAYS[1]
    assert shown(normalized(red, about)[0], about)[0, 0].tolist() == [255, 0, 0]
    assert shown(np.zeros((1, 2, 2), np.float32), WAYS[3]).shape == (2, 2)
