"""Examples and the axes of a network's inputs that count them: first, elsewhere (a recurrent state) or nowhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import MeasureError
from edgepipe.onnx.batch_axis import Rows, count_of, resized
from edgepipe.onnx.tensor_types import Tensor

_Shape = tuple[int, ...]
ExampleShapes = _Shape | Mapping[str, _Shape]
"""Of an example, by input, without the axis that counts them; the shape alone for a network with one input."""
_Able = dict[int, int | str | None]
_BATCH = re.compile(r"batch|^(n|b|bs|bsz|examples|samples)$", re.IGNORECASE)
"""Names that exporters and people give to the axis that counts examples."""


@dataclass(frozen=True)
class Places:
    """Where examples stand in a network's inputs.

    Attributes:
        axes: by input the axis that counts examples; None: the input takes one, without such an axis.
        fixed: examples of a run; None: any number.
    """

    what: str
    axes: Mapping[str, int | None]
    fixed: int | None

    def placed(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """The rows, (n, ...) each, as the graph takes them.

        Raises:
            MeasureError: several, of a network that takes one.
        """
        if count_of(rows) != 1 and None in self.axes.values():
            name = next(name for name, axis in self.axes.items() if axis is None)
            raise MeasureError(f"{self.what}: input {name!r} takes one example at a time: no axis of it counts them")
        return {
            name: value[0] if (axis := self.axes[name]) is None else np.moveaxis(value, 0, axis)
            for name, value in rows.items()
        }

    def shapes(self, examples: Mapping[str, _Shape], count: int = 1) -> dict[str, _Shape]:
        """Shape of each input in a run of such examples: of `fixed` ones, or of so many."""
        count = self.fixed or count
        return {
            name: shape if (axis := self.axes[name]) is None else (*shape[:axis], count, *shape[axis:])
            for name, shape in examples.items()
        }

    def fit(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """As `placed`, the rows repeated or cut to a run's."""
        return self.placed(resized(rows, self.fixed or 1))


def places(inputs: Sequence[Tensor], shapes: Mapping[str, _Shape], what: str) -> Places:
    """Where examples of these shapes, by input and without the axis that counts them, stand.

    Where an input lets several axes count them, as (1, batch, 8) does examples of (1, 8), one called batch does.
    Else the first axes do where they say the same of all inputs; else those of a name that all have; else the first
    where all take any number; else of each input one that takes any.

    Args:
        what: names the network in messages.
    Raises:
        MeasureError: the inputs take different numbers of examples.
    """
    able = {item.name: found for item in inputs if (found := _able(item, shapes[item.name]))}
    axes = _together(able)
    for item in inputs:
        if item.name not in able:  # no axis is to count any, or whoever feeds it refuses it in words
            axes[item.name] = None if item.shape is not None and len(item.shape) == len(shapes[item.name]) else 0
    sizes = {item.name: size for item in inputs if isinstance(size := _label(item, axes[item.name]), int)}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name!r} {size}" for name, size in sizes.items())
        raise MeasureError(f"{what}: its inputs take different numbers of examples at once: {told}")
    lone = 1 if None in axes.values() else None
    return Places(what, axes, next(iter(sizes.values()), lone))


def _together(able: Mapping[str, _Able]) -> dict[str, int | None]:
    """One axis of each input, so that all of them count the same examples."""
    able = {name: _called_batch(found) or found for name, found in able.items()}
    firsts = [found.get(0, "") for found in able.values()]  # "": no axis has this name
    if len(able) < 2 or (len(set(firsts)) == 1 and firsts[0] not in (None, "")):
        return {name: next(iter(found)) for name, found in able.items()}
    labels = [set(found.values()) for found in able.values()]
    names = [name for name in next(iter(able.values())).values() if name and all(name in each for each in labels)]
    if names:
        return {name: _axis_of(found, names[0]) for name, found in able.items()}
    if all(first is None or (first and isinstance(first, str)) for first in firsts):
        return dict.fromkeys(able, 0)
    return {name: _freest(found) for name, found in able.items()}


def _called_batch(found: _Able) -> _Able:
    """Those of the axes whose name says that they count examples: (time, batch, 8) is said of its second axis."""
    return {axis: label for axis, label in found.items() if isinstance(label, str) and _BATCH.search(label)}


def _axis_of(found: _Able, label: int | str | None) -> int:
    return next(axis for axis, named in found.items() if named == label)


def _freest(found: _Able) -> int:
    """The first axis that takes any number, else the first."""
    return next((axis for axis, label in found.items() if not isinstance(label, int)), next(iter(found)))


def _able(item: Tensor, example: _Shape) -> _Able:
    """Axes that may count examples of this shape, by what the graph says of them: the others are its sizes, or any.

    Behind a first axis that takes any number none of a size written into the graph does: the examples do not fit.
    """
    if item.shape is None:
        return {0: None}
    if len(item.shape) != len(example) + 1:
        return {}
    return {
        axis: label
        for axis, label in enumerate(item.shape)
        if not (axis and isinstance(label, int) and label > 1 and not isinstance(item.shape[0], int))
        and all(
            not isinstance(size, int) or size == given
            for size, given in zip(item.shape[:axis] + item.shape[axis + 1 :], example, strict=True)
        )
    }


def _label(item: Tensor, axis: int | None) -> int | str | None:
    return None if axis is None or item.shape is None else item.shape[axis]
