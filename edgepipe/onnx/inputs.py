"""What a graph is given, and the one sentence of those who know a single input only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgepipe.contract import Tensor
from edgepipe.errors import MeasureError
from edgepipe.onnx.tensor_types import declared

if TYPE_CHECKING:
    import onnx


def inputs_of(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """What a graph is given; constants that old exporters list as inputs too are none."""
    stored = {item.name for item in graph.initializer} | {item.values.name for item in graph.sparse_initializer}
    return [item for item in graph.input if item.name not in stored]


def only_input(graph: onnx.GraphProto, what: str, done: str) -> onnx.ValueInfoProto:
    """The input, for those who know one only.

    Args:
        what: names the model in the message.
        done: what is done to models with one: "measured".
    Raises:
        MeasureError: there is not exactly one.
    """
    found = inputs_of(graph)
    if len(found) != 1:
        raise MeasureError(several([item.name for item in found], what, done))
    return found[0]


def several(names: Sequence[str], what: str, done: str) -> str:
    """What to say of a model with so many inputs, where only one is known."""
    shown = ", ".join(map(repr, names))
    return f"{what}: has {len(names)} inputs ({shown}); only models with one are {done}"


def takes(network: onnx.ModelProto) -> tuple[Tensor, ...]:
    """What the graph declares that it takes, for one example each: the first axis is left out of every input.

    A size that the graph leaves open is the axis's name, or "any".
    """
    found = []
    for item in map(declared, inputs_of(network.graph)):
        shape = tuple("any" if axis is None else axis for axis in (item.shape or ())[1:])
        found.append(Tensor(name=item.name, dtype=str(item.dtype or "unknown"), shape=shape))
    return tuple(found)
