"""Nodes that a recipe keeps in float."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import onnx

from edgepipe.base.suggest import did_you_mean
from edgepipe.errors import PassError
from edgepipe.onnx.names import layer_name


def excluded_nodes(model: onnx.ModelProto, wanted: Iterable[str], label: str) -> set[str]:
    """Names of the nodes that are named, whose layer is as reports call it, or whose operator is.

    Raises:
        PassError: the graph has no such node, layer or operator.
    """
    known = _by_layer(model)
    for node in model.graph.node:
        known[node.op_type].add(node.name)
    return _found(model, known, wanted, f"passes.{label}.exclude: no node or operator")


def named_nodes(model: onnx.ModelProto, wanted: Iterable[str], label: str) -> set[str]:
    """As `excluded_nodes`, for passes that take no operators.

    Raises:
        PassError: the graph has no such node or layer.
    """
    return _found(model, _by_layer(model), wanted, f"passes.{label}.exclude: the graph has no node")


def _by_layer(model: onnx.ModelProto) -> defaultdict[str, set[str]]:
    """Names of nodes by what reports call their layer: its weight, with the node's name where several share it."""
    weights = {item.name for item in model.graph.initializer if len(item.dims) > 1}
    found: defaultdict[str, set[str]] = defaultdict(set)
    for node in model.graph.node:
        for layer in {layer_name(name) for name in node.input if name in weights}:
            found[layer].add(node.name)
            found[f"{layer} ({node.name})"].add(node.name)
    return found


def _found(model: onnx.ModelProto, known: dict[str, set[str]], wanted: Iterable[str], what: str) -> set[str]:
    names = {node.name for node in model.graph.node}
    found: set[str] = set()
    for item in wanted:
        if item not in names and item not in known:
            raise PassError(f"{what} '{item}'.{did_you_mean(item, names | set(known))}")
        found |= {item} if item in names else known[item]
    return found
