"""A recipe's file is data: what its YAML may not say, whoever wrote it."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from edgepipe.base.files import read_plain
from edgepipe.base.text import holds_password
from edgepipe.errors import RecipeError
from edgepipe.recipe.interpolations import folder_inside, refuse_long_numbers, refuse_reaching, texts

_MOST_NODES = 20_000

_MOST_BYTES = 1 << 20

# The rest of Hydra's section names classes, loggers or shell commands: it would run code.
_OF_HYDRA = {
    "run": {"dir"},
    "sweep": {"dir", "subdir"},
    "sweeper": {"params"},
    "job": {"name", "chdir"},
}
_SWEPT = re.compile(r"\+{0,2}([A-Za-z_]\w*)(\.[\w-]+)*", re.ASCII)
_MOST_SWEPT = 100_000
_NOT_SWEPT = ("hydra", "trust_code", "tracking", "store", "recipe", "defaults")
_FIXED_GROUPS = ("hydra", "tracking")


def refuse_large(path: Path, where: str) -> None:
    """Refuse what is no plain file of a recipe's size, before it is read.

    Raises:
        RecipeError: names the file.
    """
    try:
        found = path.stat()
    except OSError:
        return  # Hydra says which file it looked for
    if not stat.S_ISREG(found.st_mode):
        raise RecipeError(f"{where}: no plain file: a recipe is a text file")
    if found.st_size > _MOST_BYTES:
        raise RecipeError(f"{where}: {found.st_size:,} bytes: a recipe has {_MOST_BYTES:,} at most")


def read_yaml(path: Path) -> Any:
    """The plain values of a recipe's file, whose aliases stay few.

    Raises:
        OSError: it cannot be read.
        ValueError, yaml.YAMLError: it is too large, too deep or no YAML.
    """
    refuse_large(path, str(path))
    text = read_plain(path)
    refuse_exploding(path, str(path))
    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise ValueError(f"{path}: nested too deep") from None


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


def refuse_code(content: Any, package: str, where: str, group: str = "recipe") -> None:
    """Refuse a file that grants itself trust, sends results away, or sets more of Hydra than a recipe needs.

    Hydra builds `hydra.callbacks` from a `_target_` and `hydra.job_logging` from class names, in every
    run: a recipe from a stranger must not reach them. The command line, typed by the user, may.

    Args:
        content: the file as plain values.
        package: dotted place the content is put at; "" is the top.
        group: the folder of the file among the recipes.
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
        for key in _beyond(layer["hydra"]) if "hydra" in layer else ():
            raise RecipeError(
                f"{where}: {key}: a recipe is data and may not set this part of Hydra, which can run code or write "
                "elsewhere. Give it on the command line, or remove it"
            )
        _refuse_tracking(layer.get("tracking"), where, group)
    for name in _placed(content):
        raise RecipeError(
            f"{where}: defaults: '{name}': a file chooses models, data, targets and other recipes; nothing may be put "
            "into Hydra's own section or turn tracking on. Remove it, or give it on the command line"
        )
    refuse_reaching(content, where)
    refuse_passwords(content, where)


def refuse_passwords(content: Any, where: str) -> None:
    """Refuse values with a password or a token in an address: a recipe's values are written into every run.

    Raises:
        RecipeError: names the place and the key, never the value.
    """
    for key, text in texts(content):
        if holds_password(text):
            raise RecipeError(f"{where}: {key}: {PASSWORD}")


PASSWORD = (
    "an address in it carries a password or a token, and what is given here is written into every run's files: take "
    "it out, and give it where its reader looks for it (of MLflow: MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN, or the whole address as MLFLOW_TRACKING_URI)"
)


def _refuse_tracking(section: Any, where: str, group: str) -> None:
    if section is None:
        return
    if group != "tracking":
        raise RecipeError(
            f"{where}: tracking: no recipe sends results away by itself: add tracking=mlflow to the command line"
        )
    if isinstance(section, Mapping) and section.get("uri") is not None:
        raise RecipeError(
            f"{where}: tracking.uri: no file may say where results go: tracking.uri=ADDRESS on the command line, or "
            "set MLFLOW_TRACKING_URI"
        )


def _beyond(section: Any) -> Iterator[str]:
    if not isinstance(section, Mapping):
        yield "hydra"
        return
    for key, value in section.items():
        if key not in _OF_HYDRA or not isinstance(value, Mapping):
            yield f"hydra.{key}"
            continue
        for inner, item in value.items():
            name = f"hydra.{key}.{inner}"
            if inner not in _OF_HYDRA[key]:
                yield name
            elif inner in ("dir", "subdir") and not folder_inside(item):
                yield f"{name} (a folder that is not below this one)"
            elif inner in ("name", "chdir") and not (
                re.fullmatch(r"[\w-][\w.-]*", item) if isinstance(item, str) else isinstance(item, bool)
            ):
                yield name
            elif inner == "params":
                yield from (f"{name}.{text}" for text in _beyond_sweeps(item))


def _beyond_sweeps(params: Any) -> Iterator[str]:
    """What of a sweep's settings would be more than a recipe's own keys with plain values."""
    if params is None:
        return
    if not isinstance(params, Mapping):
        yield "(no mapping)"
        return
    letters = sum(len(str(value)) for value in params.values())
    if letters > _MOST_SWEPT:
        raise RecipeError(f"hydra.sweeper.params: values of {letters:,} letters: {_MOST_SWEPT:,} are the most")
    for key, value in params.items():
        found = _SWEPT.fullmatch(str(key))
        if found is None or found[1] in _NOT_SWEPT:
            yield str(key)
            continue
        refuse_long_numbers(str(value), f"hydra.sweeper.params.{key}")
        if not isinstance(value, (str, int, float)) or "${" in str(value) or _wide(str(value)):
            yield f"{key}={value}"


def _wide(value: str) -> bool:
    """Whether a range would be written out into more jobs than anyone means."""
    numbers = [float(text) for text in re.findall(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?", value, re.IGNORECASE)]
    return "range" in value and (max(numbers, default=0) > 10_000 or any(0 < number < 1e-3 for number in numbers))


def _placed(content: Any) -> Iterator[str]:
    """Entries of the defaults list that reach Hydra or tracking, as in `/model@hydra.callbacks`."""
    entries = content.get("defaults") if isinstance(content, Mapping) else None
    for entry in entries if isinstance(entries, list) else []:
        for group, choice in entry.items() if isinstance(entry, Mapping) else [(entry, "")]:
            path, _, package = str(group).partition("@")
            first = re.sub(r"^(override|optional)\s+", "", re.sub(r"^(override|optional)\s+", "", path.strip()))
            first = first.strip("/ ").removeprefix("recipe/").partition("/")[0]
            names = choice if isinstance(choice, list) else [choice]
            reaches = first in _FIXED_GROUPS and choice is not None
            leaves = any(".." in str(name).split("/") or str(name).startswith("hydra/") for name in [path, *names])
            if reaches or leaves or re.search(r"hydra|tracking|trust_code|\$", package):
                yield str(group)
