"""Names: every node has one of its own, and what quantizing adds finds its names free."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import onnx

from edgepipe.onnx.subgraphs import all_graphs

_OF_TENSORS = (
    "_scale",
    "_scales",
    "_zero_point",
    "_zero_points",
    "_quantized",
    "_dequantized",
    "_unquantized",
    "_float",
    "_int8",
    "_product",
    *(f"_axis{axis}{part}" for axis in (0, 1) for part in ("_scale", "_zero_point", "_quantized", "_dequantized")),
)
_OF_NODES = (
    "_slope",
    "_shift",
    *(f"_bias{part}" for part in ("", "_scale", "_quantized", "_dequantized")),
    *(f"_{side}{part}" for side in ("in", "out") for part in ("_scale", "_zero")),
)
"""What the writers of this package append to the name of a tensor and of a node."""


_OF_WEIGHTS = ("_quantized", "_quant", "_q4", "_Q4", "_int8", ".weight", "_weight")
"""What quantizers and exporters append to a weight's name."""


def layer_name(weight: str) -> str:
    """What a layer is called by its weight, the same before and after quantizing: `layer1.0.conv1`."""
    while weight.endswith(_OF_WEIGHTS):
        weight = next(weight.removesuffix(suffix) for suffix in _OF_WEIGHTS if weight.endswith(suffix))
    return weight


def fresh(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where it is taken."""
    number, found = 0, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def tensor_names(graph: onnx.GraphProto) -> set[str]:
    """All names of tensors in the graph and inside of its nodes: what a new tensor must not be called."""
    found: set[str] = set()
    for inside in all_graphs(graph):
        found |= {item.name for item in (*inside.initializer, *inside.input, *inside.output)}
        found |= {name for node in inside.node for name in (*node.input, *node.output) if name}
    return found


def rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Call a tensor otherwise, in place, inside of subgraphs too; another one that is called so makes way."""
    if old != new:
        make_way(graph, new)
        _renamed(graph, {old: new})


def make_way(graph: onnx.GraphProto, name: str) -> None:
    """Call the tensor of this name otherwise, in place, where there is one."""
    taken = tensor_names(graph)
    if name in taken:
        _renamed(graph, {name: fresh(f"{name}_inner", taken)})


def _renamed(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Old names to new ones, at the ends of the graph and where subgraphs read tensors of the graph around them too."""
    for inside in all_graphs(graph):
        sparse = [item.values for item in inside.sparse_initializer]
        for item in (*inside.initializer, *sparse, *inside.value_info, *inside.input, *inside.output):
            item.name = names.get(item.name, item.name)
        for node in inside.node:
            for read_or_made in (node.input, node.output):
                for index, name in enumerate(read_or_made):
                    read_or_made[index] = names.get(name, name)


def name_nodes(graph: onnx.GraphProto) -> None:
    """Give each node without a name one that no other has, in place."""
    taken = {node.name for node in graph.node}
    for number, node in enumerate(graph.node):
        if not node.name:
            node.name = fresh(f"{node.op_type}_{number}", taken)
            taken.add(node.name)


def make_room(graph: onnx.GraphProto) -> None:
    """Rename tensors that are called what quantizing another tensor or node would add, in place.

    A file may well hold an activation `z` and a constant `z_scale`. Inputs and outputs of the graph keep their names:
    where one of them is in the way, the other tensor is renamed.
    """
    outside = {item.name for item in (*graph.input, *graph.output)}
    tensors = tensor_names(graph)
    nodes = {node.name for node in graph.node}
    renamed: dict[str, str] = {}
    taken = set(tensors)

    def rename(name: str) -> None:
        if name not in outside and name not in renamed:
            renamed[name] = fresh(f"{name}_1", taken)
            taken.add(renamed[name])

    for name in sorted(tensors):
        for stem in _stems(name, _OF_TENSORS):
            if stem in tensors:
                rename(stem if name in outside else name)
        if any(stem in nodes for stem in _stems(name, _OF_NODES)):
            rename(name)
    if renamed:
        _renamed(graph, renamed)


def _stems(name: str, suffixes: Collection[str]) -> Iterator[str]:
    return (name[: -len(suffix)] for suffix in suffixes if name.endswith(suffix))
