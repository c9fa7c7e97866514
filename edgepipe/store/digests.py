"""Digests of code: what a result's key says of the programs that made it.

A change of a file that a pass, a source or a measurement imports is a miss, never a stale hit; a change of any other
file is none. Imports are read from the source, so nothing is imported to be digested.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from edgepipe.base.files import is_file, is_folder

HOME = Path(__file__).parents[1]
"""The folder of the package `edgepipe`."""

# Their words reach messages, and what is kept comes back as it was: neither makes a result another one.
_NO_PART = ("edgepipe.base.suggest", "edgepipe.errors", "edgepipe.plugins", "edgepipe.store")


@cache
def package_digest(*rooms: str) -> str:
    """Hex SHA-256 over every file of parts of edgepipe: rooms or single files, scripts run by path included."""
    files: list[tuple[str, Path]] = []
    for room in rooms:
        place = HOME / room
        paths = [path for path in place.rglob("*") if is_file(path)] if is_folder(place) else [place]
        files += [(path.relative_to(HOME).as_posix(), path) for path in paths if "__pycache__" not in path.parts]
    return _over(files)


@cache
def module_digest(module: str) -> str:
    """Hex SHA-256 over the source of one of edgepipe's modules and of all that it imports; see `sources`."""
    return _over(sources(module).items())


def sources(module: str) -> dict[str, Path]:
    """A module of edgepipe and all of edgepipe that it imports, at any depth: name to file.

    Imports inside functions count, so a pass that imports `edgepipe.quant` when it runs depends on it; a pass that
    does not is still found in the store when only `edgepipe.quant` changes. The name of a module in a text counts as
    an import too: that is how a process of its own is told what to run.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _file_of(name)
        if name in found or name.startswith(_NO_PART) or file is None:
            continue  # `from edgepipe.x import y`: y may be a name, not a module
        found[name] = file
        waiting += _imported(file)
        waiting.append(name.rpartition(".")[0])  # a package's __init__ runs before its modules
    return found


def _file_of(module: str) -> Path | None:
    if module.partition(".")[0] != "edgepipe":
        return None
    path = HOME.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if is_folder(path) else path.with_suffix(".py")
    return path if is_file(path) else None


@cache  # the modules of a recipe's passes import much the same
def _imported(path: Path) -> tuple[str, ...]:
    """What a source imports of edgepipe: modules, and names that may be modules."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [item.name for item in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = ".".join((*_package(path, node.level), *([node.module] if node.module else [])))
            found += [module, *(f"{module}.{item.name}" for item in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _MODULE.fullmatch(node.value):
            found.append(node.value)
    return tuple(name for name in found if name.partition(".")[0] == "edgepipe")


def _package(path: Path, level: int) -> tuple[str, ...]:
    """The parts of the package that so many leading dots in a file of edgepipe mean; (): none, or a file of others."""
    if not level or not path.is_relative_to(HOME):
        return ()
    return ("edgepipe", *path.relative_to(HOME).parts[:-level])


_MODULE = re.compile(r"edgepipe(\.[a-z_][a-z_0-9]*)+", re.ASCII)


def code_digest(kind: type[Any]) -> str:
    """Hex SHA-256 over the code that a class's result depends on: what it imports of edgepipe, `edgepipe.data` whole,
    since a job brings it, and of a third party's class all of its package.
    """
    data = package_digest("data")
    if kind.__module__.startswith("edgepipe."):
        return _joined(module_digest(kind.__module__), data)
    top = sys.modules[kind.__module__.partition(".")[0]]
    file = Path(inspect.getfile(kind)) if getattr(top, "__file__", None) is None else Path(str(top.__file__))
    home = file.parent
    paths = sorted(home.rglob("*.py")) if file.name == "__init__.py" else [file]
    theirs = _over((path.relative_to(home).as_posix(), path) for path in paths)
    ours: dict[str, Path] = {}
    for name in {name for path in paths for name in _imported(path)}:
        ours |= sources(name)
    return _joined(theirs, _over(ours.items()), data)


def _over(files: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _joined(*digests: str) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Installed versions of distributions, read without importing them."""
    versions: dict[str, str] = {}
    for name in sorted(set(names)):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
