"""Which node of the optimized graph a layer of the file became."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from onnx import NodeProto

from edgepipe.measure.macs import Layer
from edgepipe.onnx.graph import Graph
from edgepipe.onnx.operators import LAYERS

# What ONNX Runtime appends to names when it changes a layout or clones a node. Backwards, since a search for an end
# would begin anew at each letter of a name, and a name may have any number of them.
_APPENDED = re.compile(r"(cwhcn_|cwhn_|\d+_nekot_)+")


def match(original: Sequence[Layer], nodes: Sequence[NodeProto], optimized: Graph) -> dict[int, NodeProto]:
    """Node by `id` of its layer; a layer that no rule finds is left out.

    Names are compared first, then weights, then the tensors a layer's result flows through, and
    what is left is paired in order if it is equally many.
    """
    left = list(original)
    free = list(nodes)
    pairs: dict[int, NodeProto] = {}

    def pair_by(
        keys_of_layer: Callable[[Layer], Iterable[str]], keys_of_node: Callable[[NodeProto], Iterable[str]]
    ) -> None:
        known: dict[str, NodeProto | None] = {}
        for node in free:
            for key in keys_of_node(node):
                known[key] = None if key in known else node  # a name borne twice tells nothing
        for layer in list(left):
            found = next((known[key] for key in keys_of_layer(layer) if known.get(key) is not None), None)
            if found is not None and any(found is node for node in free):
                pairs[id(layer)] = found
                left.remove(layer)
                free[:] = [node for node in free if node is not found]

    pair_by(lambda layer: [layer.node.name] if layer.node.name else [], lambda node: _names(node.name))
    pair_by(lambda layer: [layer.weight] if layer.weight else [], lambda node: _weight(node, optimized))
    pair_by(lambda layer: layer.flow, lambda node: (*_names(node.name), *node.output))
    for family in ("conv", "matmul"):
        layers = [layer for layer in left if layer.family == family]
        rest = [node for node in free if LAYERS[node.op_type].family == family]
        if len(layers) == len(rest):
            pairs.update((id(layer), node) for layer, node in zip(layers, rest, strict=True))
    return pairs


def _names(name: str) -> list[str]:
    found = _APPENDED.match(name[::-1])
    stem = name if found is None else name[: len(name) - found.end()]
    return [item for item in dict.fromkeys((name, stem)) if item]


def _weight(node: NodeProto, optimized: Graph) -> list[str]:
    weight = optimized.weight_of(node)
    return [] if weight is None else [weight.name]
