"""What is known in one room is asked of that room, not known a second time elsewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch

import pytest

from tests.rules.exceptions import check
from tests.rules.source import modules, room_of, tree_of

GRAPH_ROOMS = {"onnx", "quant", "pruning", "formats"}
GRAPH_FILES = (
    "edgepipe/sources/*/to_onnx.py",  # converters, each a process of its own
    "edgepipe/verify/worker.py",  # scripts that run where edgepipe is not installed
    "edgepipe/measure/probe.py",
    "edgepipe/bundle/files/*.py",
)

MEASURE = re.compile(r"(top1|top5|accuracy_drop|mae|mae_rise|r2|cosine)(_ci95|_p01|_worst|_here)?")
FORMER = "edgepipe/records/old.py"
"""Reads what was written when three tasks were all there were."""
SCHEDULE = "edgepipe/training/"
"""Where `cosine` is a schedule of the learning rate."""


def graph_words(tree: ast.AST) -> Iterator[str]:
    """Where a source opens a session, loads a file or walks a graph."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.split(".")[-1] == "InferenceSession":
                yield "InferenceSession("
            elif called == "onnx.load":
                yield "onnx.load("
        elif isinstance(node, ast.Attribute) and ast.unparse(node).split(".")[-2:] == ["graph", "node"]:
            yield "graph.node"


def measure_words(tree: ast.AST) -> Iterator[str]:
    """Measures that a source names, as an attribute, an argument, a field or a text."""
    for node in ast.walk(tree):
        said = {
            ast.Attribute: lambda n: n.attr,
            ast.Name: lambda n: n.id,
            ast.arg: lambda n: n.arg,
            ast.keyword: lambda n: n.arg or "",
            ast.Constant: lambda n: n.value,
        }.get(type(node), lambda _: "")(node)
        if isinstance(said, str) and MEASURE.fullmatch(said):
            yield said


def graphs() -> Iterator[str]:
    """`FILE WORD` of every such place outside the rooms that know graphs."""
    for module in modules():
        if room_of(module) not in GRAPH_ROOMS and not any(fnmatch(module, known) for known in GRAPH_FILES):
            yield from (f"{module} {word}" for word in graph_words(tree_of(module)))


def measures() -> Iterator[str]:
    """`FILE MEASURE` of every measure that is named outside tasks/."""
    for module in modules():
        if room_of(module) != "tasks" and module != FORMER:
            for word in measure_words(tree_of(module)):
                if not (word == "cosine" and module.startswith(SCHEDULE)):
                    yield f"{module} {word}"


def test_only_the_rooms_of_graphs_open_sessions_and_walk_graphs() -> None:
    check("graphs", graphs(), "knows ONNX graphs: ask edgepipe.onnx for it")


def test_only_tasks_name_their_measures() -> None:
    check("measures", measures(), "names a measure of one task: read the task's table of measures")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import onnxruntime as o\ns = o.InferenceSession(b'')", ["InferenceSession("]),
        ("s = InferenceSession(b'')", ["InferenceSession("]),
        ("m = onnx.load(path, load_external_data=False)", ["onnx.load("]),
        ("for n in model.graph.node: pass", ["graph.node"]),
        ("n = graph.node[0]", ["graph.node"]),
        ("json.load(f); graph.nodes; session.node", []),
    ],
)
def test_words_of_graphs_are_found(source: str, words: list[str]) -> None:
    assert list(graph_words(ast.parse(source))) == words


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("m.top1", ["top1"]),
        ("f(r2=1)", ["r2"]),
        ("g = ('mae', 'top')", ["mae"]),
        ("cosine_p01: float = 1", ["cosine_p01"]),
        ("def f(accuracy_drop): pass", ["accuracy_drop"]),
        ("'''the share that top1 is'''\ntop, r22, maelstrom = 1, 2, 3", []),
    ],
)
def test_words_of_measures_are_found(source: str, words: list[str]) -> None:
    assert list(measure_words(ast.parse(source))) == words
