"""What lies inside a node: the graphs that If, Loop and Scan run, and what these read of the graph around them."""

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
    """Names that the subgraphs of a node read, those that they make themselves among them."""
    for body in subgraphs(node):
        for graph in all_graphs(body):
            for inner in graph.node:
                yield from inner.input
            yield from (output.name for output in graph.output)


def drop_unread(graph: GraphProto) -> None:
    """Remove the initializers that no node reads, not from inside a subgraph either, and that are no output."""
    read = {item.name for item in graph.output}
    for node in graph.node:
        read.update(node.input)
        read.update(captured(node))
    kept = [item for item in graph.initializer if item.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
