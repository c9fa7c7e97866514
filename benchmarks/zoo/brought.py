"""What a network of the zoo is before it is compressed: words of a command line, and examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
EXAMPLES = 32
"""Of each split: as many are judged, and as many calibrate."""


@dataclass(frozen=True)
class Brought:
    """A network in its folder.

    Attributes:
        words: the model's part of a command line.
        examples: makes the arrays of a split from its seed and count, (count, ...) each.
        recipe: what it goes through.
        torch: whether its channels can be cut: it goes through that and the recipe, too.
        state, steps: as of `data=npz`.
    """

    words: list[str]
    examples: Callable[[int, int], Arrays]
    recipe: str = "ptq"
    torch: bool = False
    state: Mapping[str, str] = field(default_factory=dict)
    steps: int | None = None


@dataclass(frozen=True)
class Network:
    """One row of the table: `make(folder, seed)` brings it, well-behaved, with weights drawn by the seed."""

    name: str
    family: str
    make: Callable[[Path, int], Brought]


def pictures(channels: int, height: int, width: int) -> Callable[[int, int], Arrays]:
    """Smooth patches of colour under noise, of several contrasts, as pictures are and plain noise is not."""

    def made(seed: int, count: int) -> Arrays:
        draw = np.random.default_rng(seed)
        coarse = draw.standard_normal((count, channels, 5, 5))
        rows, columns = np.linspace(0, 4, height), np.linspace(0, 4, width)
        smooth = _between(_between(coarse, rows, 2), columns, 3)
        contrast = draw.uniform(0.5, 1.5, (count, 1, 1, 1))
        brightness = 0.5 * draw.standard_normal((count, channels, 1, 1))
        noise = 0.15 * draw.standard_normal(smooth.shape)
        return {"images": (contrast * smooth + brightness + noise).astype(np.float32)}

    return made


def _between(values: NDArray[Any], at: NDArray[Any], axis: int) -> NDArray[Any]:
    """Linear interpolation along an axis at positions in steps of it."""
    low = np.minimum(at.astype(int), values.shape[axis] - 2)
    share = (at - low).reshape([-1 if number == axis else 1 for number in range(values.ndim)])
    between: NDArray[Any] = values.take(low, axis) * (1 - share) + values.take(low + 1, axis) * share
    return between


def signals(*shape: int, name: str = "inputs") -> Callable[[int, int], Arrays]:
    """Sums of three waves along the last axis, (count, *shape), under noise."""

    def made(seed: int, count: int) -> Arrays:
        draw = np.random.default_rng(seed)
        time = np.arange(shape[-1]) / shape[-1]
        value = 0.1 * draw.standard_normal((count, *shape))
        for _ in range(3):
            lead = (count, *shape[:-1], 1)
            turns, phase, height = draw.uniform(0.5, 12, lead), draw.uniform(0, 1, lead), draw.uniform(0.2, 1, lead)
            value = value + height * np.sin(2 * np.pi * (turns * time + phase))
        return {name: value.astype(np.float32)}

    return made


def numbers(**shapes: tuple[int, ...]) -> Callable[[int, int], Arrays]:
    """Normal float32 arrays of these names, (count, *shape) each."""

    def made(seed: int, count: int) -> Arrays:
        draw = np.random.default_rng(seed)
        return {name: draw.standard_normal((count, *shape)).astype(np.float32) for name, shape in shapes.items()}

    return made


def tokens(vocabulary: int, length: int, *, mask: bool = True, types: bool = False) -> Callable[[int, int], Arrays]:
    """Token numbers, some more often than others, the end of every second text padded where there is a mask."""

    def made(seed: int, count: int) -> Arrays:
        draw = np.random.default_rng(seed)
        ids = (2 + (vocabulary - 2) * draw.uniform(0, 1, (count, length)) ** 2).astype(np.int64)
        attended = np.ones_like(ids)
        if mask:
            attended[::2, length - length // 4 :] = 0
            ids = np.where(attended == 1, ids, 1)
        found = {"input_ids": ids}
        found |= {"attention_mask": attended} if mask else {}
        return found | ({"token_type_ids": np.tile(np.arange(length) >= length // 2, (count, 1)) * 1} if types else {})

    return made
