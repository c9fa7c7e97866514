"""Whether a recipe's file is text, YAML and a mapping whose header and `defaults` Hydra can read; says where not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from edgepipe.errors import RecipeError
from edgepipe.recipe.interpolations import MOST_DIGITS, refuse_reaching

_DEEPEST = 60
_MOST_FILLED = 1000
_LONGEST_KEY = 1000
_HEADER = re.compile(r"#\s*@")
_PACKAGE = re.compile(r"#\s*@package:?\s+([A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*|_global_|_group_)\s*")


def check_text(path: Path, where: str) -> None:
    """Refuse a file that Hydra could not read, or could not say what is wrong with.

    Raises:
        RecipeError: names the file, the key or line, and the remedy.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError:
        return  # Hydra says which file it looked for
    except UnicodeDecodeError as error:
        raise RecipeError(f"{where}: not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    _check_header(text, where)
    if text.count("${") > _MOST_FILLED:
        raise RecipeError(f"{where}: more than {_MOST_FILLED:,} values to fill in (${{…}}): write them out")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}:" if mark is not None else ""
        said = getattr(error, "problem", None) or str(error).partition("\n")[0]
        hint = ". Indent with spaces" if "\\t" in said else ""
        raise RecipeError(f"{where}:{line} not readable as YAML: {said}{hint}") from None
    except RecursionError:
        raise RecipeError(f"{where}: {_TOO_DEEP}") from None
    if root is None:
        return  # an empty file is an empty mapping
    if not isinstance(root, yaml.MappingNode):
        kind = "a list" if isinstance(root, yaml.SequenceNode) else f"the text '{str(root.value)[:40]}'"
        raise RecipeError(f"{where}: a recipe is a mapping, as in `passes: ...`; found {kind}")
    for place, node in _nodes(root, (), where):
        _check_node(place, node, where)
    for key, value in root.value:
        if key.value == "defaults":
            _check_defaults(value, where)


_TOO_DEEP = f"nested more than {_DEEPEST} deep: no recipe needs that"


def _check_header(text: str, where: str) -> None:
    """Hydra's header: comments `# @package PLACE` above the first line that is none."""
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            return
        if _HEADER.match(line) and _PACKAGE.fullmatch(line) is None:
            raise RecipeError(
                f"{where}: its header '{line[:60].strip()}' cannot be read: write '# @package _global_' in a recipe, "
                "or leave it out"
            )


def _nodes(node: Any, place: tuple[str, ...], where: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value below a node with its place, an alias once."""
    seen: set[int] = set()
    waiting = [(place, node)]
    while waiting:
        place, node = waiting.pop()
        yield place, node
        if id(node) in seen:
            continue
        seen.add(id(node))
        if len(place) > _DEEPEST:
            raise RecipeError(f"{where}: {'.'.join(place[:3])}: {_TOO_DEEP}")
        if isinstance(node, yaml.MappingNode):
            waiting += [((*place, str(key.value)), value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [((*place, f"[{number}]"), item) for number, item in enumerate(node.value)]


def _key(place: tuple[str, ...]) -> str:
    """`goal[0].at_least` of a place."""
    return ".".join(place).replace(".[", "[")


def _check_node(place: tuple[str, ...], node: Any, where: str) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.rpartition(":")[2] in ("null", "timestamp", "binary"):
                raise RecipeError(f"{where}: line {key.start_mark.line + 1}: {_key(place) or 'a key'}: a key is a word")
            if len(key.value) > _LONGEST_KEY:
                line = key.start_mark.line + 1
                raise RecipeError(
                    f"{where}: line {line}: a key of {len(key.value):,} letters: {_LONGEST_KEY:,} are the most"
                )
            _check_word(_key((*place, key.value)), key.value, where)
    elif isinstance(node, yaml.ScalarNode):
        _check_word(_key(place), node.value, where)
        refuse_reaching({_key(place): node.value}, where)  # before OmegaConf, whose grammar would read it for long
    kind = node.tag.rpartition(":")[2]
    if kind in ("int", "float") and len(node.value) > MOST_DIGITS:
        raise RecipeError(
            f"{where}: line {node.start_mark.line + 1}: {_key(place)}: a number of {len(node.value):,} letters: "
            f"{MOST_DIGITS:,} are the most. Quote it if it is a text"
        )
    if kind not in ("map", "seq", "str", "int", "float", "bool", "null", "merge", "timestamp"):
        raise RecipeError(
            f"{where}: line {node.start_mark.line + 1}: {_key(place)}: a value is a word, a number, a list or a "
            f"mapping; found the YAML tag '{node.tag.removeprefix('tag:yaml.org,2002:')}'"
        )


def _check_word(key: str, text: str, where: str) -> None:
    if "\0" in text:
        shown = key.replace("\0", "\\0")
        raise RecipeError(f"{where}: {shown}: holds a null character, which no file name or text may: take it out")
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = key.encode("ascii", "backslashreplace").decode()
        raise RecipeError(f"{where}: {shown}: holds half of a character (a lone surrogate): write it out") from None


def _check_defaults(value: Any, where: str) -> None:
    """The defaults list: `/group: NAME`, `override /group: NAME`, `_self_`, or another recipe's name."""
    form = "write a list, as in `- /model: resnet18`, `- /data: digits`, `- _self_`"
    if not isinstance(value, yaml.SequenceNode):
        raise RecipeError(f"{where}: defaults: not a list: {form}")
    for number, entry in enumerate(value.value):
        key = f"{where}: defaults[{number}] (line {entry.start_mark.line + 1})"
        if isinstance(entry, yaml.ScalarNode) and _is_text(entry) and entry.value.strip("/ "):
            continue
        if not isinstance(entry, yaml.MappingNode) or len(entry.value) != 1:
            raise RecipeError(f"{key}: an entry is one group and one name: {form}")
        group, name = entry.value[0]
        if not _is_text(group) or not group.value.strip("/ "):
            raise RecipeError(f"{key}: an entry begins with the name of a group: {form}")
        names = name.value if isinstance(name, yaml.SequenceNode) else [name]
        for item in names:
            empty = isinstance(name, yaml.ScalarNode) and name.tag.endswith(":null")
            if not (empty or _is_text(item)) or (_is_text(item) and not item.value.strip()):
                raise RecipeError(f"{key}: {group.value}: the name of a file is wanted, in quotes if it is a number")


def _is_text(node: Any) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag.endswith(":str")
