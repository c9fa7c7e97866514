"""Functions of a user's own that a recipe names: whether one may be called, what it depends on, and calling it."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import os
import sys
import sysconfig
import traceback
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from edgepipe.contract.artifact import file_sha256
from edgepipe.errors import EdgepipeError

FUNCTION = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
"""How a recipe names a function: package.module:function."""
_NOT_OWN = (str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"))
"""Folders of edgepipe and of Python: what fails in them was called by somebody."""


def untrusted(key: str, factory: str) -> str:
    """Why a function is not called as long as nobody said that it may be."""
    return (
        f"{key}: '{factory}' is code, and a recipe may not run code by itself. "
        "If you trust it, add trust_code=true to the command line"
    )


def source_digests(key: str, factory: str, error: type[EdgepipeError]) -> JsonValue:
    """Digests of the sources of the factory's package, found without running it where it is not imported yet.

    Args:
        key: the setting that names it, for messages.
        error: what is raised.
    """
    allow_local_modules()
    module = factory.partition(":")[0]
    top = module.partition(".")[0]
    waiting, files, libraries = [top], dict[str, Path](), dict[str, str | None]()
    while waiting:
        name = waiting.pop()
        for place, path in _files_of(name):
            if place not in files:
                files[place] = path
                # What it imports (`import blocks`) is the user's code too, but for libraries: those have a version.
                others = _imports(path) - {top, *libraries}
                libraries |= {other: _version(other) for other in others if is_library(other)}
                waiting += sorted(others - libraries.keys())
    if not files:
        raise error(f"{key}: there is no module '{module}'. Run from its folder or install it")
    return {
        **{name: version for name, version in sorted(libraries.items()) if version},
        **{name: file_sha256(path) for name, path in sorted(files.items())},
    }


def is_library(name: str) -> bool:
    """Whether a top-level module is Python's own or was installed, wherever; an editable install was not."""
    if name in sys.stdlib_module_names:
        return True
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return True  # importing it will say what is wrong
    if spec is None:
        return True
    places = list(spec.submodule_search_locations or filter(None, [spec.origin]))
    return all(
        {"site-packages", "dist-packages"} & set(Path(place).parts) or name in _installed_in(str(Path(place).parent))
        for place in places
    )


@cache
def _installed_in(folder: str) -> frozenset[str]:
    """Top-level modules that an installer put into a folder, by its records there: `pip install --target`."""
    found = set()
    for distribution in importlib.metadata.distributions(path=[folder]):
        if distribution.read_text("RECORD") is not None:
            found |= {Path(str(file)).parts[0].removesuffix(".py") for file in distribution.files or ()}
    return frozenset(found)


def _version(name: str) -> str | None:
    """Of the distribution of that name; None: Python's own, or named otherwise than its module."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _files_of(name: str) -> list[tuple[str, Path]]:
    """(name, file) of every source file of a top-level module, package or folder without `__init__.py`."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is None:
        return [(f"{name}.py", Path(spec.origin))] if spec.origin and spec.origin.endswith(".py") else []
    homes = [Path(home) for home in spec.submodule_search_locations]
    return [(f"{name}/{path.relative_to(home).as_posix()}", path) for home in homes for path in home.rglob("*.py")]


def _imports(path: Path) -> set[str]:
    """Top-level names that a source file imports; of a file that is no Python, none: importing it will say so."""
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError):
        return set()
    names = [item.name for node in nodes if isinstance(node, ast.Import) for item in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0]
    return {name.partition(".")[0] for name in names if name}


def allow_local_modules() -> None:
    """Let modules of the folder that the command runs in be imported."""
    here = os.getcwd()  # noqa: PTH109 (a string, as sys.path wants)
    if here not in sys.path:
        sys.path.insert(0, here)


def call(key: str, factory: str, kwargs: Mapping[str, Any], error: type[EdgepipeError]) -> Any:
    """Import and call the user's function; arguments as for `source_digests`.

    Raises:
        error: it cannot be imported, or fails.
    """
    allow_local_modules()
    module_name, _, function = factory.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), function)
    except (ImportError, AttributeError) as problem:
        raise error(f"{key}: '{factory}' cannot be imported: {problem}") from None
    except (Exception, SystemExit) as problem:  # a script without a main guard may even leave the process
        raise error(
            f"{key}: importing {module_name} failed: {type(problem).__name__}: {problem}. "
            'What a script runs belongs below `if __name__ == "__main__":`'
        ) from problem
    try:
        return found(**kwargs)
    except (Exception, SystemExit) as problem:
        raise error(f"{key}: {factory} failed ({place_of(problem)}): {type(problem).__name__}: {problem}") from problem


def place_of(problem: BaseException) -> str:
    """FILE:LINE of what was raised: the last line of the user's own, else of whoever raised it."""
    lines = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(problem.__traceback__)]
    own = [line for line in lines if not line[0].startswith(("<", *_NOT_OWN)) and "-packages" not in line[0]]
    file, number = (own or lines or [("?", 0)])[-1]
    return f"{file}:{number}"
