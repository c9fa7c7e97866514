"""Tensors that are a function of another tensor, value by value: a SiLU's parts of the convolution before them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import prod

import onnx

_CONTINUOUS = frozenset(
    [
        *("Abs", "Add", "Celu", "Clip", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Max", "Min"),
        *("Mish", "Mul", "Neg", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sub", "Tanh"),
    ]
)
"""Functions of one value without a jump, or of two: over an interval a fine grid tells how far they reach."""


def roots(graph: onnx.GraphProto, known: Collection[str]) -> dict[str, str]:
    """For each tensor that is a continuous function of a known one, value by value, that one; a known one's own is it.

    Args:
        known: tensors that the others may be functions of.
    """
    scalars = {item.name for item in graph.initializer if prod(item.dims) == 1 and len(item.dims) <= 1}
    found = {item.name: item.name for item in graph.input if item.name in known}
    for node in graph.node:
        read = [name for name in node.input if name and name not in scalars]
        from_one = {found.get(name) for name in read}
        whole = len(from_one) == 1 and node.op_type in _CONTINUOUS and node.domain in ("", "ai.onnx")
        root = from_one.pop() if whole else None
        for output in node.output:
            if root is not None:
                found[output] = root
            elif output in known:
                found[output] = output
    return found


def path(graph: onnx.GraphProto, root: str, tensors: Collection[str], found: Mapping[str, str]) -> list[onnx.NodeProto]:
    """The nodes that make the tensors of the root, in order."""
    wanted = set(tensors)
    nodes = []
    for node in reversed(graph.node):
        if wanted & set(node.output) and root not in node.output:
            nodes.append(node)
            wanted.update(name for name in node.input if found.get(name) == root)
    return nodes[::-1]


def repeated(
    nodes: Sequence[onnx.NodeProto], root: str, instead: str, named: Callable[[str], str]
) -> tuple[list[onnx.NodeProto], dict[str, str]]:
    """The nodes once more, reading another tensor in the place of the root; and what their outputs are called then.

    Args:
        named: a free name for a tensor or node like one that is there.
    """
    names = {root: instead}
    copies = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = named(node.name or node.op_type)
        names.update((output, named(output)) for output in node.output if output)
        copy.input[:] = [names.get(name, name) for name in node.input]
        copy.output[:] = [names.get(name, name) for name in node.output]
        copies.append(copy)
    return copies, names
