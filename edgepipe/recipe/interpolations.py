"""`${…}` in a recipe's file: which there may be, how much they may grow to; and how long a number may be.

A file is data from whoever wrote it: it may repeat its own keys, and name the time and what was chosen. The environment
(`oc.env`), and every other resolver of Hydra's and OmegaConf's, is for the command line, which the user types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgepipe.errors import RecipeError

MOST = 20_000
"""Values, and hundreds of letters, that a recipe may become once everything is filled in."""
MOST_DIGITS = 1000
"""Python itself takes 4,300 (PYTHONINTMAXSTRDIGITS), and raises an error of its own beyond."""
_DEEPEST = 60
_LONGEST_FOLDER = 4096
"""Letters, as file systems have it."""

_OWN = re.compile(r"\$\{\s*\.*(?!hydra\b)[A-Za-z_]\w*(?:\.[\w-]+|\[\w+\])*\s*\}")
_RUN = re.compile(r"\$\{(?:now:(?:(?!\.\.)[%\w.: -])*|hydra[:.](?:runtime\.choices\.[\w/]+|job\.(?:num|id|name)))\}")
_REFERENCE = re.compile(r"\$\{\s*(\.*)([A-Za-z_0-9][\w.\[\]-]*)\s*\}")


def refuse_reaching(content: Any, where: str) -> None:
    """Refuse a file whose values ask for more than its own keys, the time and the choices.

    Raises:
        RecipeError: names the file, the key and what it asks for.
    """
    for key, text in texts(content):
        for start in _begins(text):
            if not (_OWN.match(text, start) or _RUN.match(text, start)):
                raise RecipeError(
                    f"{where}: {key}: {text[start : start + 60]}: a file may fill in its own keys, "
                    "${now:…} and ${hydra:runtime.choices.…}; the environment and the rest only the command line "
                    "may, as in KEY='${oc.env:NAME}'. ${ as plain text is written \\${"
                )


def folder_inside(text: Any) -> bool:
    """Whether a folder that a file names lies below the current one, whatever is filled in."""
    if not isinstance(text, str) or len(text) > _LONGEST_FOLDER:
        return False
    rest = text
    for start in reversed(_begins(text)):
        found = _RUN.match(text, start)
        if found is None:
            return False
        rest = rest[:start] + "x" + rest[found.end() :]
    parts = rest.replace("\\", "/").split("/")
    return (
        bool(rest.strip()) and parts[0] != "" and not rest.startswith("~") and ":" not in parts[0] and ".." not in parts
    )


def refuse_growing(content: Mapping[str, Any]) -> None:
    """Refuse values that hold one another so often, or so deeply, that filling them in would not end in time.

    Args:
        content: the composed recipe, nothing filled in yet.
    Raises:
        RecipeError: names the key.
    """
    known: dict[tuple[str, ...], tuple[int, int]] = {}

    def measure(place: tuple[str, ...], depth: int) -> tuple[int, int]:
        """(size, levels of references) of what lies at a place."""
        if depth > 3 * _DEEPEST:
            raise _Growing(place)
        if place in known:
            return known[place]
        known[place] = 1, 0  # a circle: OmegaConf says so
        value = _at(content, place)
        size, levels = 1, 0
        for part in _parts(value, place):
            more, height = measure(part, depth + 1)
            size, levels = size + more, max(levels, height + isinstance(value, str))
        if isinstance(value, str):
            size += len(value) // 100
        if size > MOST or levels > _DEEPEST:
            raise _Growing(place)
        known[place] = size, levels
        return size, levels

    try:
        measure((), 0)
    except _Growing as found:
        raise RecipeError(
            f"recipe: {'.'.join(found.place)}: too large once its ${{…}} are filled in: more than {MOST:,} values, or "
            f"more than {_DEEPEST} within one another. Write them out"
        ) from None


def refuse_long_numbers(text: str, where: str) -> None:
    """Refuse a text with more digits in a row than any number has: reading it takes long, and writing it fails.

    Raises:
        RecipeError: says how many.
    """
    digits = max(map(len, re.findall(r"[0-9_]+", text)), default=0)
    if digits > MOST_DIGITS:
        raise RecipeError(f"{where}: a number of {digits:,} digits: {MOST_DIGITS:,} are the most")


class _Growing(Exception):
    def __init__(self, place: tuple[str, ...]) -> None:
        self.place = place


def _parts(value: Any, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Places of what a value holds or refers to."""
    if isinstance(value, Mapping):
        yield from ((*place, str(key)) for key in value)
    elif isinstance(value, list):
        yield from ((*place, str(number)) for number in range(len(value)))
    elif isinstance(value, str):
        for dots, key in _REFERENCE.findall(value):
            names = [part for part in re.split(r"[.\[\]]+", key) if part]
            yield (*place[: max(0, len(place) - len(dots))], *names) if dots else tuple(names)


def _at(content: Any, place: Sequence[str]) -> Any:
    for part in place:
        if isinstance(content, list):
            content = _nth(content, part)
        else:
            content = content.get(part) if isinstance(content, Mapping) else None
    return content


def _nth(items: list[Any], number: str) -> Any:
    plain = number.isascii() and number.isdigit() and len(number) < 10
    return items[int(number)] if plain and int(number) < len(items) else None


def texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """(key, text) of every text of nested plain values."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from texts(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from texts(item, f"{place}[{number}]")
    elif isinstance(value, str):
        yield place, value


def _begins(text: str) -> list[int]:
    """Where a text's interpolations begin; `\\${` is plain text, `\\\\${` is a backslash and an interpolation."""
    return [found.end() - 2 for found in re.finditer(r"(?<!\\)(\\*)\$\{", text) if len(found[1]) % 2 == 0]
