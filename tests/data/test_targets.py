"""Targets lie where their inputs lie."""

from __future__ import annotations

import numpy as np
from PIL import Image

from edgepipe.data.geometry import Frame
from edgepipe.data.targets import Halved, Target
from tests.data.files import saved

FRAME = Frame(4, 8, 3, "nearest", fit="letterbox")


def test_a_target_is_placed_as_its_input_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    small = Target(2).inputs(["x"], [saved(Image.fromarray(pixels), "PNG")], FRAME)[0]
    large = saved(Image.fromarray(pixels.repeat(2, 0).repeat(2, 1)), "PNG")
    found = Target(2).read("y", large, Image.fromarray(pixels), FRAME)
    assert found.shape == Target(2).shape(FRAME) == (3, 8, 16)
    assert np.array_equal(found, small.transpose(2, 0, 1).repeat(2, 1).repeat(2, 2))


def test_grey_is_made_small_too() -> None:
    grey = FRAME._replace(channels=1)
    raw = np.full((8, 16), 77, np.uint8)
    assert np.array_equal(Halved(2).inputs(["x"], [raw], grey), np.full((1, 4, 8, 1), 77, np.uint8))
