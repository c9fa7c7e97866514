"""Maps at other sizes, and the axis of their classes."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.tasks.maps import class_axis, resized_bilinear, resized_nearest


@pytest.mark.parametrize(
    ("shape", "size", "classes", "axis"),
    [
        ((1, 21, 65, 65), (520, 520), 21, 1),
        ((1, 65, 65, 21), (520, 520), 0, 3),
        ((1, 150, 128, 64), (512, 256), 0, 1),
        ((1, 128, 64, 150), (512, 256), 0, 3),
        ((1, 19, 33, 65), (257, 513), 19, 1),
        ((1, 64, 64, 64), (64, 64), 64, 1),
        ((1, 40, 40, 3), None, 0, 3),
        ((1, 3, 40, 40), None, 0, 1),
    ],
)
def test_the_axis_of_classes(shape: tuple[int, ...], size: tuple[int, int] | None, classes: int, axis: int) -> None:
    assert class_axis(shape, "auto", size, classes) == axis


def test_a_map_is_resized_as_torch_resizes_it() -> None:
    functional = pytest.importorskip("torch").nn.functional
    import torch

    maps = np.random.default_rng(0).standard_normal((2, 5, 9)).astype(np.float32)
    for size in ((10, 18), (7, 20), (3, 4), (5, 9)):
        wanted = functional.interpolate(torch.from_numpy(maps)[None], size, mode="bilinear")[0].numpy()
        assert np.allclose(resized_bilinear(maps, size), wanted, atol=1e-5)
        nearest = functional.interpolate(torch.from_numpy(maps)[None], size, mode="nearest-exact")[0].numpy()
        assert np.array_equal(resized_nearest(maps[0], size), nearest[0])
