"""The page shows the picture that the task compares."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.contract import Preprocessing, Signature
from edgepipe.tasks.image import Image
from tests.tasks.pages.node import NODE, answered

pytestmark = pytest.mark.skipif(NODE is not None, reason=str(NODE))
DRAW = np.random.default_rng(0)
SIGNATURE = Signature(input_shape=(3, 5, 7))
CASES = {
    "channels first": (DRAW.uniform(-0.2, 1.2, (1, 3, 5, 7)), {}),
    "channels last": (DRAW.uniform(-0.2, 1.2, (1, 5, 7, 3)), {}),
    "grey, 0 to 255": (DRAW.uniform(-20, 300, (1, 1, 5, 7)), {"value_range": 255.0}),
    "a map without channels": (DRAW.random((1, 5, 7)), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_page_draws_the_tasks_picture(case: str) -> None:
    values, how = CASES[case]
    outputs, task = {"y": values.astype(np.float32)}, Image(**how)
    wanted = task.answers(outputs, SIGNATURE, "it")["pictures"][0]
    found = answered("image", {"y": outputs["y"][0]}, task.for_page(outputs, SIGNATURE))["picture"]
    pixels = np.reshape(found["pixels"], (found["height"], found["width"], 4))
    rgb = np.broadcast_to(wanted, (3, *wanted.shape[1:])).transpose(1, 2, 0) * (255 / task.value_range)
    assert np.abs(pixels[..., :3] - rgb).max() <= 0.5 + 1e-4
    assert (pixels[..., 3] == 255).all()


def test_bgr_is_turned_and_depth_goes_from_black_to_white() -> None:
    outputs = {"y": DRAW.random((1, 3, 5, 7)).astype(np.float32)}
    bgr = SIGNATURE.model_copy(update={"preprocessing": Preprocessing(order="bgr")})
    found = answered("image", {"y": outputs["y"][0]}, Image().for_page(outputs, bgr))["picture"]
    assert found["pixels"][:3] == np.rint(outputs["y"][0, ::-1, 0, 0] * 255).tolist()
    depth = {"y": np.float32([[2, 4], [10, 6]])}
    told = answered("image", depth, Image(kind="depth").for_page(depth, SIGNATURE))
    assert told["picture"]["pixels"][::4] == [0, 64, 255, 128]
    assert told["note"] == "black 2, white 10"
