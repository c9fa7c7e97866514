"""Who reads what in a graph: its nodes, the graphs that If, Loop and Scan run inside of them, and its own outputs."""

from __future__ import annotations

from collections import defaultdict
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


class Readers:
    """Everybody who reads a tensor of a graph; whoever rewrites a graph asks here what others still need.

    Attributes:
        nodes: by tensor its readers among the graph's own nodes, one entry for each input; a node whose subgraphs
            read the tensor is one of them.
        inside: tensors that a subgraph reads, which knows them by their name only.
        outputs: tensors that leave the graph.
    """

    def __init__(self, graph: GraphProto) -> None:
        self.nodes: dict[str, list[NodeProto]] = defaultdict(list)
        self.inside: set[str] = set()
        self.outputs = {item.name for item in graph.output}
        for node in graph.node:
            within = list(captured(node))
            self.inside.update(within)
            for name in (*node.input, *within):
                self.nodes[name].append(node)

    def sole(self, name: str) -> NodeProto | None:
        """The only reader of a tensor that is no output."""
        found = self.nodes.get(name, ())
        return found[0] if len(found) == 1 and name not in self.outputs else None

    def is_read(self, name: str) -> bool:
        """Whether anybody reads the tensor."""
        return name in self.outputs or bool(self.nodes.get(name))


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


def drop_unread(graph: GraphProto) -> None:
    """Remove the initializers that nobody reads, in place; in the graph and inside of its nodes."""
    for inside in all_graphs(graph):
        readers = Readers(inside)
        fed = {item.name for item in inside.input} if inside is not graph else set()
        for stored in (inside.initializer, inside.sparse_initializer):
            names = [getattr(item, "values", item).name for item in stored]
            gone = [place for place, name in enumerate(names) if name not in fed and not readers.is_read(name)]
            for place in reversed(gone):
                del stored[place]
