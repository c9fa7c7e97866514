"""A file of another format as something to ask: examples by the ONNX file's names in, its outputs out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.contract import Asked
from edgepipe.errors import PassError
from edgepipe.onnx.batch_axis import all_answered, batch_axes, count_of, cut, stacked
from edgepipe.onnx.examples import places
from edgepipe.onnx.files import load_structure
from edgepipe.onnx.inputs import inputs_of
from edgepipe.onnx.tensor_types import Tensor, declared

if TYPE_CHECKING:
    import onnx

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Ends:
    """What an ONNX file takes and gives, in its order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @classmethod
    def of(cls, file: Path) -> Ends:
        """As the file declares them."""
        graph = load_structure(file).graph
        return cls(tuple(map(declared, inputs_of(graph))), tuple(map(declared, graph.output)))

    def named(self, outputs: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs in the file's order by their names."""
        return {tensor.name: value for tensor, value in zip(self.outputs, outputs, strict=True)}


def example_shape(given: onnx.ValueInfoProto, format_name: str) -> list[int]:
    """Shape of one example of an input, for a format whose files take one of a fixed size.

    Raises:
        PassError: an axis is no number; names it.
    """
    dims = list(given.type.tensor_type.shape.dim)[1:]
    free = [dim.dim_param or f"axis {axis}" for axis, dim in enumerate(dims, 1) if dim.dim_value <= 0]
    if free:
        raise PassError(
            f"{format_name}: the input has no fixed shape: '{given.name}' takes any {' and '.join(free)}, and this "
            f"format's files take one size. Export the model with fixed sizes, or leave {format_name} out of `formats`"
        )
    return [int(dim.dim_value) for dim in dims]


def in_batches(ends: Ends, run: Callable[[Arrays], Arrays], what: str) -> Asked:
    """Asks a runtime that takes what the ONNX file takes, its batch included.

    Args:
        run: from arrays as the graph takes them to outputs by name.
        what: names the file in messages.
    """
    axes: dict[str, int] = {}
    known: list[None] = []

    def answers(examples: Arrays) -> dict[str, NDArray[Any]]:
        found = places(ends.inputs, {name: value.shape[1:] for name, value in examples.items()}, what)

        def ask(rows: Arrays) -> Arrays:
            return run(found.placed(rows))

        if not known:
            axes.update(batch_axes(ask, cut(examples, 0, 4), found.fixed))
            known.append(None)
        if found.fixed in (None, 1) and any(tensor.name not in axes for tensor in ends.outputs):
            return all_answered(ask, examples, found.fixed, None)
        counted = {tensor.name: axes.get(tensor.name, 0) for tensor in ends.outputs}
        return all_answered(ask, examples, found.fixed, counted)

    return answers


def one_by_one(ends: Ends, run: Callable[[Arrays], Sequence[NDArray[Any]]]) -> Asked:
    """Asks a runtime that takes one example at a time.

    Args:
        run: from the arrays of one example, without an axis that counts examples, to the outputs in the file's order.
    """

    def answers(examples: Arrays) -> dict[str, NDArray[Any]]:
        rows = [run({name: value[index] for name, value in examples.items()}) for index in range(count_of(examples))]
        return ends.named([stacked(np.asarray(each) for each in output) for output in zip(*rows, strict=True)])

    return answers
