"""The graphs that If, Loop and Scan run inside of a node, and what these read of the graph around them."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import GraphProto, NodeProto


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs that a node runs, those directly in it."""
    for item in node.attribute:
        if item.HasField("g"):
            yield item.g
        yield from item.graphs


def all_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and, behind it, those inside its nodes, at any depth."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from all_graphs(inner)


def captured(node: NodeProto) -> Iterator[str]:
    """Names that the subgraphs of a node read of the graph around them, once for each time."""
    for body in subgraphs(node):
        own = _made_in(body)
        yield from (name for name in _read_in(body) if name not in own)


def _read_in(graph: GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from (name for name in node.input if name)
        yield from captured(node)
    yield from (item.name for item in graph.output)


def _made_in(graph: GraphProto) -> set[str]:
    stored = {item.name for item in (*graph.initializer, *graph.input)}
    sparse = {item.values.name for item in graph.sparse_initializer}
    return stored | sparse | {name for node in graph.node for name in node.output if name}


def read_instead(graph: GraphProto, old: str, new: str) -> None:
    """Let every node that reads `old` read `new`, inside of subgraphs too, in place; outputs of the graph stay."""
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new
        for body in subgraphs(node):
            if old in _made_in(body):
                continue  # another tensor of this name
            read_instead(body, old, new)
            for output in body.output:
                if output.name == old:
                    output.name = new
