"""Nothing that can be registered is known by name elsewhere: so what a third party brings is worth as much.

A pass, a source, a task, a format or a place is known to its own file and to the registry. Elsewhere no source
compares with its name, matches it, or looks it up in a table.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch

import pytest

from tests.rules.exceptions import check
from tests.rules.source import REGISTERED, modules, tree_of

REGISTRY = "edgepipe/plugins.py"
OTHERWISE = {"agreement", "lower", "onnx", "python", "scores", "text", "train"}
"""Names that are words of their own: a share, the end of a measure, a kind of artifact, Python, texts, a split."""
ALLOWED = {
    ("edgepipe/targets/host.py", "arm64"),
    ("edgepipe/records/old.py", "classification"),
    ("edgepipe/records/old.py", "regression"),
    ("edgepipe/records/old.py", "embedding"),
}
"""What the system calls its processor; the tasks of files that were written when these were all there were."""


def _texts(node: ast.AST) -> Iterator[str]:
    """The texts of a constant, or of a tuple, list or set of them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        for item in node.elts:
            yield from _texts(item)


def _decisive(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node that something is decided by: sides of a comparison, cases, keys."""
    if isinstance(node, ast.Compare):
        yield from (node.left, *node.comparators)
    elif isinstance(node, ast.MatchValue):
        yield node.value
    elif isinstance(node, ast.Subscript):
        yield node.slice
    elif isinstance(node, ast.Dict):
        yield from (key for key in node.keys if key is not None)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop"):
        yield from node.args[:1]


def _annotations(tree: ast.AST) -> set[int]:
    """Every node of a `Literal[...]`: a word that is allowed, of which nothing is decided."""
    return {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).split(".")[-1] == "Literal"
        for part in ast.walk(node)
    }


def names_in(tree: ast.AST) -> Iterator[str]:
    """The registered names by which a source decides something."""
    passed = _annotations(tree)
    for node in ast.walk(tree):
        if id(node) not in passed:
            for part in _decisive(node):
                yield from (text for text in _texts(part) if text in REGISTERED and text not in OTHERWISE)


def found() -> Iterator[str]:
    """`FILE NAME` of every such place outside the name's own file and the registry."""
    for module in modules():
        if module != REGISTRY:
            for name in names_in(tree_of(module)):
                if not fnmatch(module, REGISTERED[name]) and (module, name) not in ALLOWED:
                    yield f"{module} {name}"


def test_nothing_is_decided_by_a_registered_name() -> None:
    check("by_name", found(), "knows what is registered by its name: ask its class for what differs")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("if name == 'quantize_static': pass", ["quantize_static"]),
        ("ok = task in ('classification', 'other')", ["classification"]),
        ("match name:\n  case 'cifar10': pass", ["cifar10"]),
        ("writer = WRITERS['tflite']", ["tflite"]),
        ("writer = WRITERS.get('pte')", ["pte"]),
        ("known = {'arm64': Arm64}", ["arm64"]),
        ("formats: Literal['ort', 'pte']; better == 'lower'; f('keras')", []),
    ],
)
def test_decisions_by_name_are_found(source: str, names: list[str]) -> None:
    assert list(names_in(ast.parse(source))) == names


def test_a_name_is_known_to_its_own_file() -> None:
    for module, name in (
        ("edgepipe/passes/quantize_static.py", "quantize_static"),
        ("edgepipe/sources/sklearn/to_onnx.py", "sklearn"),
        ("edgepipe/formats/tflite_graph.py", "tflite"),
        ("edgepipe/verify/places/x86.py", "x86_avx2"),
    ):
        assert module in modules()
        assert fnmatch(module, REGISTERED[name])
