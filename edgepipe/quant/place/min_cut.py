"""Minimum cut: the cheapest way to part a graph in two.

Source: Dinic, Soviet Math. Doklady 11, 1970; min cut as an exact optimum of two-label problems: Kolmogorov and
Zabih, What Energy Functions Can Be Minimized via Graph Cuts?, PAMI 2004.
"""

from __future__ import annotations

from collections import deque

UNBOUNDED = 1 << 60
"""A capacity that is never cut."""


class Network:
    """Directed edges with integer capacities between nodes, 0 the source and 1 the sink."""

    def __init__(self) -> None:
        self._ends: list[list[int]] = [[], []]  # per node, its edges; edge i and i ^ 1 are each other's reverse
        self._target: list[int] = []
        self._left: list[int] = []

    def node(self) -> int:
        """A new node's number."""
        self._ends.append([])
        return len(self._ends) - 1

    def edge(self, start: int, end: int, capacity: int) -> None:
        """Cutting `start` (source's side) from `end` (sink's side) costs `capacity`."""
        for here, there, room in ((start, end, capacity), (end, start, 0)):
            self._ends[here].append(len(self._target))
            self._target.append(there)
            self._left.append(room)

    def source_side(self) -> set[int]:
        """The nodes on the source's side of a cheapest cut; of several, the one with the fewest such nodes."""
        while self._augment(self._levels()):
            pass
        return {node for node, level in enumerate(self._levels()) if level >= 0}

    def _levels(self) -> list[int]:
        """Distance from the source over edges with room left; -1: out of reach."""
        level = [-1] * len(self._ends)
        level[0] = 0
        waiting = deque([0])
        while waiting:
            node = waiting.popleft()
            for edge in self._ends[node]:
                end = self._target[edge]
                if self._left[edge] > 0 and level[end] < 0:
                    level[end] = level[node] + 1
                    waiting.append(end)
        return level

    def _augment(self, level: list[int]) -> bool:
        """Fill the shortest paths; whether there was one. Iterative: a deep network is deeper than Python's stack."""
        tried = [0] * len(self._ends)
        found = False
        path: list[int] = []
        node = 0
        while level[1] >= 0:
            if node == 1:
                room = min(self._left[edge] for edge in path)
                for edge in path:
                    self._left[edge] -= room
                    self._left[edge ^ 1] += room
                found, path, node = True, [], 0
                continue
            edges = self._ends[node]
            while tried[node] < len(edges):
                edge = edges[tried[node]]
                if self._left[edge] > 0 and level[self._target[edge]] == level[node] + 1:
                    break
                tried[node] += 1
            if tried[node] < len(edges):
                path.append(edges[tried[node]])
                node = self._target[path[-1]]
            elif path:
                node = self._target[path.pop() ^ 1]
                tried[node] += 1
            else:
                break
        return found
