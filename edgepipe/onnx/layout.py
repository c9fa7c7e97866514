"""How the examples of the data become the input of a model that came from another framework."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Literal

from numpy.typing import NDArray

Layout = Literal["same", "nhwc", "flat"]
"""same: as the data gives it; nhwc: channels last; flat: all features in one axis."""


def layout_of(given: Sequence[int], wanted: Sequence[int | None], *, pictures: bool) -> Layout | None:
    """The arrangement that turns an example of shape `given` into one of shape `wanted`; None: there is none.

    Args:
        wanted: of one example; None stands for any size.
        pictures: the data gives (channels, height, width), so channels last is tried first. Arrays of
            unknown meaning are taken as they are where they fit.
    """
    possible: dict[Layout, bool] = {"same": fits(given, wanted)}
    if len(given) == 3:
        possible["nhwc"] = fits((given[1], given[2], given[0]), wanted)
    if len(given) != 1 and len(wanted) == 1:
        possible["flat"] = wanted[0] in (None, prod(given))
    order: tuple[Layout, ...] = ("nhwc", "same", "flat") if pictures else ("same", "nhwc", "flat")
    return next((layout for layout in order if possible.get(layout)), None)


def fits(given: Sequence[int], wanted: Sequence[int | None]) -> bool:
    """Whether an example's shape is one that is wanted, where None stands for any size."""
    return len(given) == len(wanted) and all(w in (None, g) for g, w in zip(given, wanted, strict=True))


def arranged(inputs: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """A batch of the data's examples, (n, …), as the model wants it."""
    if layout == "nhwc":
        return inputs.transpose(0, 2, 3, 1)
    return inputs.reshape(len(inputs), -1) if layout == "flat" else inputs
