"""The symbols that a model writes texts with: from a file, a list, or what the model's own file says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgepipe.base.files import is_file, read_plain
from edgepipe.base.text import printable
from edgepipe.errors import MeasureError, ModelError, RecipeError

KEYS = ("character", "characters", "alphabet", "vocabulary")
"""Under which a model's metadata says its symbols; PaddleOCR's converters and RapidOCR write the first."""
_MOST_BYTES = 16 << 20
_MOST = 1_000_000


def of_file(path: Path) -> tuple[str, ...]:
    """The symbols of a file: one a line, as PaddleOCR's dictionaries have them, or JSON.

    JSON is a list of symbols, or maps each symbol to its number, as `vocab.json` of transformers does.

    Raises:
        RecipeError: it cannot be read, or says none.
    """
    where = f"task.alphabet={path}"
    if not is_file(path, "task.alphabet"):
        raise RecipeError(f"{where}: no such file: give one with a symbol on each line, or its symbols as a list")
    try:
        text = read_plain(path, _MOST_BYTES)
    except (OSError, ValueError) as error:
        raise RecipeError(f"{where}: cannot be read: {error}. Save it as UTF-8 text") from error
    found = of_text(text)
    if not found or len(found) > _MOST:
        raise RecipeError(f"{where}: holds {len(found):,} symbols: write one on each line")
    return found


def of_text(text: str) -> tuple[str, ...]:
    """Symbols in the order of their numbers."""
    if text[:1] in ("[", "{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):  # a dictionary of one symbol a line may begin so
            found = None
        if isinstance(found, list) and all(isinstance(item, str) for item in found):
            return tuple(found)
        if isinstance(found, dict) and sorted(map(str, found.values())) == sorted(map(str, range(len(found)))):
            return tuple(sorted(found, key=lambda symbol: int(found[symbol])))
    lines = text.removeprefix("\ufeff").split("\n")  # not splitlines: U+2028 and the like are symbols
    if lines and not lines[-1].strip("\r"):
        lines.pop()
    return tuple(line.rstrip("\r") for line in lines)


def of_metadata(said: Mapping[str, str]) -> tuple[str, ...] | None:
    """What a model's metadata says; None: nothing."""
    return next((of_text(said[key]) for key in KEYS if said.get(key)), None)


def table(symbols: Sequence[str], classes: int, blank: int, what: str) -> list[str]:
    """The symbol of each class that a model scores, "" for the blank.

    An alphabet of as many symbols as there are classes has one for the blank too, as those of transformers do; one
    that is one shorter has none; and one that is two shorter leaves out the space as well, which then is the last
    class, as PaddleOCR has it.

    Args:
        classes: that the model scores, the blank counted.
        blank: its class; negative: from the end.
    Raises:
        MeasureError: neither fits; names both numbers.
    """
    place = blank + classes if blank < 0 else blank
    if not 0 <= place < classes:
        raise MeasureError(f"{what}: scores {classes} classes, and task.blank={blank} is none of them")
    found = list(symbols)
    if len(found) == classes:
        found[place] = ""
        return found
    if len(found) == classes - 2:
        found.append(" ")
    if len(found) != classes - 1:
        raise MeasureError(f"{what}: {misfit(symbols, classes)}")
    return [*found[:place], "", *found[place:]]


def fits(symbols: Sequence[str], classes: int) -> bool:
    """Whether a model that scores so many classes can have this alphabet."""
    return classes - len(symbols) in (0, 1, 2)


def misfit(symbols: Sequence[str], classes: int) -> str:
    """Why it cannot, in a sentence."""
    return (
        f"scores {classes} classes, and task.alphabet has {len(symbols)} symbols: it must have all but the blank, or "
        "all but the blank and the space, or one for each class"
    )


def lacking() -> ModelError:
    """Nobody says the alphabet."""
    return ModelError(
        f"task.alphabet is not set, and the model's file has no metadata that says it ({', '.join(KEYS)}): give a file "
        "with one symbol on each line, in the order of the model's classes, as in task.alphabet=alphabet.txt"
    )


def shown(symbols: Sequence[str], most: int = 8) -> str:
    """Symbols for people."""
    more = f" and {len(symbols) - most} more" if len(symbols) > most else ""
    return ", ".join(f"'{printable(symbol)}'" for symbol in symbols[:most]) + more
