"""Nodes that a recipe keeps in float."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from edgepipe.errors import PassError
from edgepipe.registry import did_you_mean


def excluded_nodes(model: onnx.ModelProto, wanted: Iterable[str], label: str) -> set[str]:
    """Names of the nodes that are named, or whose operator is.

    Raises:
        PassError: the graph has no such node or operator.
    """
    names = {node.name for node in model.graph.node}
    kinds = {node.op_type for node in model.graph.node}
    found: set[str] = set()
    for item in wanted:
        if item not in names | kinds:
            raise PassError(f"passes.{label}.exclude: no node or operator '{item}'.{did_you_mean(item, names | kinds)}")
        found |= {node.name for node in model.graph.node if item in (node.name, node.op_type)}
    return found


def check_named(model: onnx.ModelProto, wanted: Iterable[str], label: str) -> None:
    """Refuse names that no node has, for passes that take names of nodes only.

    Raises:
        PassError: the graph has no such node.
    """
    names = {node.name for node in model.graph.node}
    for name in wanted:
        if name not in names:
            raise PassError(f"passes.{label}.exclude: the graph has no node '{name}'.{did_you_mean(name, names)}")
