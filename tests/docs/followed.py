"""Pages whose commands are run as a reader types them, by Sybil: from top to bottom, in one folder that starts empty.

`name.py`:              a line before a block: the block is the content of that file
```sh                   is run by bash, and ends with 0
```console              lines behind `$ ` are run, and print what stands below them (`...` for anything)
```text                 something that was printed, or that nobody types
<!-- slow -->           what follows takes more than seconds: run by `make test-slow`
<!-- skip: next "…" --> the next block cannot be run here, and why
<!-- needs: a, b -->    the next block is run where these modules can be imported
"""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from unittest import SkipTest

from sybil import Document, Example, Region, Sybil
from sybil.parsers.markdown import CodeBlockParser, SkipParser
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
START = "python examples/start.py --out start\n"
FILES = ("python", "yaml", "toml", "json")
_NAME = re.compile(r"^`([\w./-]+)`:\n\n *\Z", re.MULTILINE)


def pages() -> list[Path]:
    """Tutorials and how-to guides."""
    return [path for part in ("tutorials", "how-to") for path in sorted((DOCS / part).glob("*.md"))]


def slow(example: Example) -> None:
    """Marks where a page becomes slow."""


def examples_of(page: Path) -> list[Example]:
    """The blocks of a page, and its marks, in order."""
    return list(_SYBIL.parse(page).examples())


def follow(page: Path, folder: Path, start: Callable[[], Path], *, to_the_end: bool) -> list[str]:
    """Do in a folder what a page says; why blocks were skipped.

    Args:
        start: gives the folder that `START` makes, made once for all pages.
        to_the_end: else only up to where it becomes slow.
    Raises:
        AssertionError: a command failed, or printed something else.
    """
    (folder / "examples").symlink_to(ROOT / "examples")
    skipped = []
    for example in examples_of(page):
        example.namespace.update(folder=folder, start=start)
        if example.region.evaluator is slow and not to_the_end:
            break
        try:
            example.evaluate()
        except SkipTest as reason:
            skipped.append(f"{page.name}:{example.line}: {reason}")
    return skipped


def _run(example: Example) -> None:
    """A block of commands."""
    commands = str(example.parsed)
    if START in commands:
        commands = commands.replace(START, f"cp -r '{example.namespace['start']()}' start\n")
    bash(commands, example.namespace["folder"])


def bash(commands: str, folder: Path) -> str:
    """What commands print; where they end with anything but 0, an error with all that they said."""
    site = folder / "site"
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]),
        "PIP_TARGET": str(site),  # the suite's own environment stays as it is
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # "0" is pip's word for: build with what is installed
        "PIP_QUIET": "1",
        "COLUMNS": "160",
    }
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}"
    return done.stdout


def _converse(example: Example) -> None:
    """A block of commands with what they print."""
    for command, wanted in conversation(str(example.parsed)):
        got = bash(command, example.namespace["folder"])
        same = doctest.OutputChecker().check_output(wanted, got, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        assert same or not wanted, f"$ {command}\n--- wanted\n{wanted}--- got\n{got}"


def conversation(text: str) -> Iterator[tuple[str, str]]:
    """(command, what it prints) of a console block."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        last = next(at for at, line in enumerate(lines) if not line.endswith("\\\n"))
        yield "".join(lines[: last + 1]), "".join(lines[last + 1 :])


def _write(example: Example) -> None:
    """A block that is a file."""
    name = _name_of(example)
    assert name, f"{example.path}:{example.line}: a block of {example.region.lexemes} wants the name of its file"
    path = example.namespace["folder"] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(example.parsed), encoding="utf-8")


def _name_of(example: Example) -> str | None:
    before = example.document.text[: example.region.start]
    found = _NAME.search(before[-200:])
    return found[1] if found else None


class _Marks:
    """Regions of a comment that says something of what follows."""

    def __init__(self, directive: str, evaluator: Callable[[Example], None]) -> None:
        self._lexer, self._evaluator = DirectiveInHTMLCommentLexer(directive), evaluator

    def __call__(self, document: Document) -> Iterable[Region]:
        for found in self._lexer(document):
            yield Region(found.start, found.end, found.lexemes["arguments"], self._evaluator)


class _Needs:
    """The next block is run only where modules can be imported."""

    def __call__(self, example: Example) -> None:
        if example.region.evaluator is self:
            modules = re.findall(r"[\w.]+", str(example.parsed))
            lacking = [name for name in modules if importlib.util.find_spec(name) is None]
            if lacking:
                example.namespace["lacking"] = lacking
                example.document.push_evaluator(self)
            return
        example.document.pop_evaluator(self)
        raise SkipTest(f"not installed: {', '.join(example.namespace['lacking'])}")


_SYBIL = Sybil(
    parsers=[
        CodeBlockParser("sh", _run),
        CodeBlockParser("console", _converse),
        *(CodeBlockParser(language, _write) for language in FILES),
        SkipParser(),
        _Marks("slow", slow),
        _Marks("needs", _Needs()),
    ]
)
