"""What a graph is given, and the one sentence of those who know a single input only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgepipe.errors import MeasureError

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
