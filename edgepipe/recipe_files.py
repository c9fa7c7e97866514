"""A recipe's file is data: what its YAML may not say, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from edgepipe.errors import RecipeError
from edgepipe.settings import at_home

_MOST_NODES = 20_000

# The rest of Hydra's section names classes, loggers or shell commands: it would run code.
_OF_HYDRA = {
    "run": {"dir"},
    "sweep": {"dir", "subdir"},
    "sweeper": {"params"},
    "job": {"name", "chdir"},
}


def refuse_exploding(path: Path, where: str) -> None:
    """Refuse YAML whose aliases contain themselves or multiply ("billion laughs"); others are left to Hydra.

    Raises:
        RecipeError: names the file.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return  # Hydra says what is wrong with it
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        """Nodes that a node becomes when every alias is written out; each is counted once."""
        if id(node) in sizes:
            if sizes[id(node)] == 0:
                raise RecipeError(f"{where}: an alias (*) contains itself. Write the value out")
            return sizes[id(node)]
        sizes[id(node)] = 0
        total = 1
        if isinstance(node, yaml.SequenceNode):
            total += sum(size(item) for item in node.value)
        elif isinstance(node, yaml.MappingNode):
            total += sum(size(key) + size(item) for key, item in node.value)
        sizes[id(node)] = total
        return total

    try:
        whole = size(root) if root is not None else 0
    except RecursionError:
        whole = _MOST_NODES + 1
    if whole > _MOST_NODES:
        raise RecipeError(f"{where}: too large: more than {_MOST_NODES:,} values once its aliases are written out")


def refuse_code(content: Any, package: str, where: str) -> None:
    """Refuse a file that grants itself trust, or reaches into the parts of Hydra that run code.

    Hydra builds `hydra.callbacks` from a `_target_` and `hydra.job_logging` from class names, in every
    run: a recipe from a stranger must not reach them. The command line, typed by the user, may.

    Args:
        content: the file as plain values.
        package: dotted place the content is put at; "" is the top.
    Raises:
        RecipeError: names the file and the key.
    """
    nested = content
    for part in reversed([part for part in package.split(".") if part]):
        nested = {part: nested}
    for layer in (content, nested):
        if not isinstance(layer, Mapping):
            continue
        if "trust_code" in layer:
            raise RecipeError(f"{where}: trust_code: no file may set it: pass it on the command line: trust_code=true")
        if "hydra" in layer:
            for key in _beyond(layer["hydra"]):
                raise RecipeError(
                    f"{where}: {key}: a recipe is data and may not set this part of Hydra, which can run code. "
                    "Give it on the command line, or remove it"
                )
    for name in _placed(content):
        raise RecipeError(f"{where}: defaults: '{name}': nothing may be put into Hydra's own section. Remove it")


def folders_at_home(content: Any) -> dict[str, str]:
    """The folders of Hydra's section that begin with `~`, written out, by key: its own settings know no `~`."""
    section = content.get("hydra") if isinstance(content, Mapping) else None
    found: dict[str, str] = {}
    for part in ("run", "sweep"):
        inner = section.get(part) if isinstance(section, Mapping) else None
        folder = inner.get("dir") if isinstance(inner, Mapping) else None
        if isinstance(folder, str) and folder.startswith("~"):
            found[f"hydra.{part}.dir"] = at_home(folder)
    return found


def _beyond(section: Any) -> Iterator[str]:
    if not isinstance(section, Mapping):
        yield "hydra"
        return
    for key, value in section.items():
        if key not in _OF_HYDRA or not isinstance(value, Mapping):
            yield f"hydra.{key}"
        else:
            yield from (f"hydra.{key}.{inner}" for inner in value if inner not in _OF_HYDRA[key])


def _placed(content: Any) -> Iterator[str]:
    """Entries of the defaults list that name a package of Hydra's, as in `/model@hydra.callbacks`."""
    entries = content.get("defaults") if isinstance(content, Mapping) else None
    for entry in entries if isinstance(entries, list) else []:
        for name in entry if isinstance(entry, Mapping) else [entry]:
            if "hydra" in str(name).partition("@")[2]:
                yield str(name)
