"""What tasks share whose answers are maps or pictures: choosing the output, its axis of classes, and other sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import MeasureError


def named_output(outputs: Mapping[str, NDArray[Any]], name: str | None, what: str) -> NDArray[Any]:
    """The output of this name; None: the first.

    Raises:
        MeasureError: there is none; `what` names the model.
    """
    if name is None:
        return np.asarray(next(iter(outputs.values())))
    if name not in outputs:
        raise MeasureError(f"{what}: no output '{name}' (task.output); it has {', '.join(outputs)}")
    return np.asarray(outputs[name])


def class_axis(shape: Sequence[int], layout: str, size: Sequence[int] | None, classes: int) -> int:
    """Which axis of (n, a, b, c) counts the classes, 1 or 3.

    Args:
        layout: `channels_first`, `channels_last`, or `auto`: the axis without which the other two have the proportions
            of the input; where both have, or neither, the one of as many entries as there are classes; else the first.
        size: (height, width) of the input, if known; classes: how many have names, 0: none.
    """
    if layout != "auto":
        return 1 if layout == "channels_first" else 3
    first, last = shape[1] == classes, shape[3] == classes
    if size is not None:
        height, width = size
        # Cross products, with the slack of one pixel that rounding at an odd size takes.
        fits = [abs(a * width - b * height) <= max(height, width) for a, b in (shape[2:4], shape[1:3])]
        if fits[0] != fits[1]:
            return 1 if fits[0] else 3
    elif not first and not last:
        last = shape[3] < min(shape[1:3])
    return 3 if last and not first else 1


def resized_bilinear(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(channels, h, w) at another size, as `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`."""
    for axis, length in ((1, size[0]), (2, size[1])):
        old = maps.shape[axis]
        if old == length:
            continue
        places = np.maximum((np.arange(length, dtype=np.float32) + 0.5) * np.float32(old / length) - 0.5, 0)
        low = np.minimum(places.astype(np.intp), old - 1)
        high = np.minimum(low + 1, old - 1)
        share = (places - low).astype(np.float32).reshape((-1, 1) if axis == 1 else (-1,))
        maps = np.take(maps, low, axis) * (1 - share) + np.take(maps, high, axis) * share
    return maps


def resized_nearest(values: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    """(h, w) at another size, each pixel that whose area holds its middle."""
    if values.shape == tuple(size):
        return values
    rows, columns = (
        ((2 * np.arange(new) + 1) * old // (2 * new)).astype(np.intp)
        for new, old in zip(size, values.shape, strict=True)
    )
    return np.asarray(values[rows[:, None], columns[None]])
