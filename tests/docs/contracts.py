"""`python -m tests.docs.contracts`: docs/reference/contracts.md anew, from the docstrings of edgepipe.contract."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

from edgepipe import contract, testing
from edgepipe.plugins import NOUNS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "contracts.md"
GIVEN = (
    "Job",
    "Artifact",
    "Signature",
    "Tensor",
    "Batch",
    "Dataset",
    "Contents",
    "Guess",
    "Measure",
    "Figure",
    "Written",
    "PlaceAnswers",
    "Processor",
)
"""What the nouns are given and give."""


def page() -> str:
    """The page as the source says it."""
    lines = [
        "# Contracts",
        "",
        "Written from the docstrings of `edgepipe.contract` by `python -m tests.docs.contracts`. The kits of",
        "`edgepipe.testing` hold a class against its contract: [write a task](../tutorials/write-a-task.md) shows how.",
        "",
    ]
    kits = {kit.removeprefix("check_"): kit for kit in testing.__all__ if kit.startswith("check_")}
    for group, noun in NOUNS.items():
        kit = kits[noun.word.split()[0] if noun.word != "model source" else "source"]
        lines += [f"## {noun.base.__name__}", "", f"Entry points `edgepipe.{group}`; `edgepipe.testing.{kit}`.", ""]
        lines += _of(noun.base)
    lines += ["## What they are given and give", ""]
    for name in GIVEN:
        lines += [f"### {name}", "", *_of(getattr(contract, name))]
    return "\n".join(lines).rstrip() + "\n"


def _of(kind: type) -> list[str]:
    """A class's docstring, then its own methods, each with signature and docstring."""
    lines = [*_text(inspect.getdoc(kind) or ""), ""]
    for name, head, told, needed in _methods(kind):
        lines += [f"**`{name}{head}`**{', must be defined' if needed else ''}", "", *_text(told), ""]
    return lines


def _methods(kind: type) -> Iterator[tuple[str, str, str, bool]]:
    """(name, signature, docstring, abstract) of every method that a class itself defines and describes."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        told = ast.get_docstring(node)
        marks = {ast.unparse(mark) for mark in node.decorator_list}
        if told and "model_validator(mode='before')" not in marks:
            arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
            returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            head = returns.replace(" -> ", ": ") if "property" in marks else f"({arguments}){returns}"
            yield node.name, head, told, "abstractmethod" in marks


def _text(told: str) -> list[str]:
    """A docstring as Markdown: what is indented below a head is a list."""
    lines: list[str] = []
    for line in told.splitlines():
        if line.endswith(":") and not line.startswith(" ") and line.split()[0] in _HEADS:
            lines += ["", line, ""] if lines and lines[-1] else [line, ""]
        elif line.startswith("    ") and not line.startswith("     "):
            lines.append(f"- {line.strip()}")
        elif line.startswith("     "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return lines


_HEADS = {"Args:", "Raises:", "Returns:", "Attributes:", "Class"}

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
