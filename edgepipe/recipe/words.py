"""The command line as people write it, made readable for Hydra's grammar.

That grammar knows ASCII words, numbers, `null`, lists, mappings and functions. A folder `Übung`, `c#d` or `copy (1)`
is none of them, and a recipe `11` would be a number. What the grammar cannot read is put into its quotes, and so is
a number where a text is wanted; sweeps (`a,b` with -m, `choice(…)`), lists, mappings and numbers keep their meaning.
"""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache, lru_cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, QuotedString, RangeSweep
from hydra.errors import HydraException
from pydantic import BaseModel

from edgepipe.contract.settings import PathMark, at_home
from edgepipe.errors import RecipeError
from edgepipe.plugins import loadable
from edgepipe.recipe.goals import Named
from edgepipe.recipe.schema import PARTS, Recipe

HYDRA_PLACES = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
_FUNCTION = re.compile(
    r"(choice|range|interval|glob|sort|shuffle|tag|extend_list|int|float|str|bool|json_str)\s*\(.*\)\s*$", re.DOTALL
)
_PLAIN = re.compile(r"[A-Za-z_./][\w./-]*")  # the same in quotes and without
_CHANGED = (bool, int, float)


def split(override: str) -> tuple[str, str, str]:
    """(`+`, `++`, `~` or nothing, key, value with its `=`) of an override."""
    key, equals, value = override.partition("=")
    bare = key.lstrip("+~")
    return key[: len(key) - len(bare)], bare, f"{equals}{value}"


def quoted(text: str) -> str:
    """A text in the quotes of Hydra's grammar, whatever it holds."""
    escaped = re.sub(r"(?<!\\)(\\*)'", lambda found: found.group(1) * 2 + "\\'", text)
    tail = len(escaped) - len(escaped.rstrip("\\"))
    return f"'{escaped}{chr(92) * tail}'"


def word(text: str) -> str:
    """A text as a value of an override: in quotes only where it needs them."""
    return text if _PLAIN.fullmatch(text) and _value(text) == text else quoted(text)


class _Unreadable:
    """What the grammar makes of a value that it cannot read."""


@lru_cache(512)
def _parse(text: str) -> Any:
    """The value as the grammar reads it: a plain value, QuotedString, a list, a sweep; `_Unreadable` if it cannot."""
    try:
        return OverridesParser.create().parse_override(f"a={text}")._value
    except (HydraException, RecursionError):
        return _Unreadable()


def _value(text: str) -> Any:
    value = _parse(text)
    return value.text if isinstance(value, QuotedString) else value


def named(value: str) -> str | None:
    """The text that a value stands for, in quotes or not; None for one that may be a sweep."""
    value = value.strip()
    found = _parse(value)
    if isinstance(found, QuotedString):
        return str(found.text)
    if _FUNCTION.match(value) or len(elements(value)) > 1:
        return None
    return str(found) if isinstance(found, str) else value


def elements(value: str) -> list[str]:
    """The parts between top-level commas; a quote counts where a part begins with it."""
    parts, start, depth, quote, begins = [], 0, 0, "", True
    for at, character in enumerate(value):
        if quote:
            if character == quote and value[at - 1] != "\\":
                quote = ""
        elif character in "'\"" and begins:
            quote = character
        elif character in "[{(":
            depth += 1
        elif character in "]})":
            depth -= 1
        elif character == "," and depth <= 0 and value[at - 1 : at] != "\\":
            parts.append(value[start:at])
            start, begins = at + 1, True
            continue
        begins = begins and character in " [{("
    return [*parts, value[start:]]


def readable(override: str, *, sweeps: bool, names: Callable[[str], bool] | None = None) -> str:
    """An override whose value Hydra's grammar reads as it was meant.

    Args:
        override: as typed.
        sweeps: `a,b` are two values (-m, `search`); else that is an error, or the name of a file that is there.
        names: for a key that takes a name: whether there is one.

    Raises:
        RecipeError: several values where one is wanted.
    """
    sign, key, value = split(override)
    if not value or "~" in sign:
        return override
    value = value[1:]
    kinds = _kinds(key)
    place = key in HYDRA_PLACES or PathMark in kinds
    if key in HYDRA_PLACES:
        value = _home(value)
    exists = names or (_is_there if place else lambda _: False)
    text = place or names is not None or str in kinds
    nothing = names is not None or None in kinds
    new = _single(key, value, exists, text, nothing) if not sweeps else None
    if new is None:
        parts = elements(value)
        new = value if _FUNCTION.match(value.strip()) and not exists(value) else ""
        new = new or ",".join(_element(part, exists, text, nothing, list in kinds) for part in parts)
    return f"{sign}{key}={new}"


def _single(key: str, value: str, exists: Callable[[str], bool], text: bool, nothing: bool) -> str | None:
    """The value of a single run; raises where it is several."""
    if exists(value):
        return _element(value, exists, text, nothing, False)
    found = _parse(value)
    several = len(elements(value)) > 1
    if several and not isinstance(found, (_Unreadable, str, QuotedString, list, dict)):
        remedy = f", or quote them as one text: {typed(key, value)}" if text else ""
        raise RecipeError(f"command line: {key}: several values are a sweep: add -m to run each of {value}{remedy}")
    if several and isinstance(found, _Unreadable) and not value.strip().startswith(("[", "{")):
        return quoted(value)
    return None


def _element(value: str, exists: Callable[[str], bool], text: bool, nothing: bool, listed: bool) -> str:
    """One value, in quotes where the grammar cannot read it or would make another of it."""
    bare = value.strip()
    found = _parse(value)
    if exists(value):
        same = isinstance(found, str) and found == value and "${" not in value
        return value if same else quoted(value.replace("${", "\\${"))
    if isinstance(found, _Unreadable):
        if bare.startswith("[") and bare.endswith("]"):
            inner = ",".join(_element(part, exists, text, nothing, False) for part in elements(bare[1:-1]))
            return f"[{inner}]" if listed and not isinstance(_parse(f"[{inner}]"), _Unreadable) else value
        return value if bare.startswith(("[", "{")) or _FUNCTION.match(bare) or _half_quoted(bare) else quoted(bare)
    if text and (isinstance(found, _CHANGED) or (found is None and not nothing)):
        return quoted(bare)
    return value


def _half_quoted(text: str) -> bool:
    """Whether it begins as a quoted value does: what comes behind the closing quote, or never closes, is a slip."""
    return text[:1] in ("'", '"')


def how_to_quote(override: str) -> str:
    """A sentence that shows how an override that cannot be read is quoted."""
    sign, key, value = split(override)
    key = sign.removeprefix("++") + key
    if not value or re.fullmatch(r"[~+]*[\w$./@-]+", key, re.ASCII) is None:
        return (
            "Write key=value, +key=value to add or ~key to remove; a key has the letters a to z, digits, '_', '-' "
            "and '.': what has another name is set in the recipe's file"
        )
    remedy = f"If it is one text, quote it for edgepipe and for the shell: {typed(key, value[1:])}"
    if value[1:].strip().startswith(("[", "{")):
        remedy += f". In a list each text has quotes of its own: '{key}=[\"a (1)\",b]'"
    return remedy


def typed(key: str, text: str) -> str:
    """`key=text` as it is typed into a shell so that it arrives as this one text."""
    plain = not set(text) & set("'\"\\!")
    return f"'{key}=\"{text}\"'" if plain else shlex.quote(f"{key}={quoted(text)}")


def is_sweep(overrides: list[str], multirun: bool) -> bool:
    """Whether `a,b` means two values on this command line."""
    return multirun or any(item.lstrip("+").replace(" ", "").lower() == "hydra.mode=multirun" for item in overrides)


def swept_names(override: Override, known: list[str]) -> list[str]:
    """The names that a sweep over a group takes, in order."""
    value = override.value()
    if isinstance(value, Glob):
        return [str(name) for name in value.filter(sorted(known))]
    return [str(_value(str(item))) for item in override.sweep_string_iterator()]


def globbed(override: Override) -> list[str] | None:
    """The patterns of a value `glob(…)`; None: it is none."""
    value = override.value()
    return [str(pattern) for pattern in value.include] if isinstance(value, Glob) else None


MOST_JOBS = 10_000
"""Jobs of a sweep, and values of one setting of a search: all are written out before the first begins."""


def count_values(override: Override) -> int:
    """How many values a discrete sweep has, none of them written out; 1 of what is no sweep, or a continuous one.

    Raises:
        RecipeError: a range that has none, or no end.
    """
    value = override.value()
    if not isinstance(value, RangeSweep):
        return sum(1 for _ in override.sweep_string_iterator()) if override.is_discrete_sweep() else 1
    key = override.get_key_element().lstrip("+")
    try:
        start, stop, step = (Fraction(number) for number in (value.start or 0, value.stop or 0, value.step))
        found = max(0, math.ceil((stop - start) / step))
    except (ZeroDivisionError, OverflowError, ValueError):
        found = 0
    if not found:
        said = f"range({value.start},{value.stop},{value.step})"
        raise RecipeError(f"{key}: {said} has no values, or no end: write range(FIRST,END,STEP), the end left out")
    return found


def count_jobs(overrides: list[Override]) -> int:
    """How many jobs a grid over these has; of one key the last override counts, as for Hydra.

    Raises:
        RecipeError: more than `MOST_JOBS`.
    """
    counts = {override.get_key_element(): count_values(override) for override in overrides}
    jobs = math.prod(counts.values())
    if jobs > MOST_JOBS:
        many = [f"{key.lstrip('+')} has {told_count(count)} values" for key, count in counts.items() if count > 1]
        raise RecipeError(
            f"recipe or command line: a sweep of {told_count(jobs)} jobs: {MOST_JOBS:,} are the most; "
            f"{', '.join(many[:6])}. Give fewer, or let `edgepipe search` choose among them"
        )
    return jobs


def told_count(count: int) -> str:
    """A number of values, however large."""
    return f"{count:,}" if count < 10**12 else "more than 10^12"


def _home(value: str) -> str:
    text = named(value)
    return quoted(at_home(text)) if text is not None and text.startswith("~") else value


def _is_there(value: str) -> bool:
    try:
        return bool(value) and os.path.lexists(at_home(value))
    except ValueError:  # a null byte
        return False


@cache
def _kinds(key: str) -> frozenset[Any]:
    """What the recipe's schema takes at a key: `str`, `PathMark`, `list`, None, others; empty: nothing is known.

    A source's or a pass's settings hang on names that are not composed yet, so all of them are asked.
    """
    parts = key.split(".")
    found: list[Any] = [Recipe]
    if parts[0] in PARTS and len(parts) > 1:
        found = _all_of(PARTS[parts[0]])
        parts = parts[1:]
    elif parts[0] == "passes" and len(parts) > 2:
        found = _all_of("passes")
        parts = parts[2:]
    elif parts[0] == "task" and len(parts) > 1:
        found = [Named, *_all_of("tasks")]
        parts = parts[1:]
    for part in parts:
        found = [kind for item in found for kind in _below(item, part)]
    return frozenset(_named_kind(item) for item in found)


def _all_of(group: str) -> list[Any]:
    return list(loadable(group).values())


def _named_kind(item: Any) -> Any:
    if item in (str, PathMark) or item is None:
        return item
    if item is Path:
        return PathMark
    return list if get_origin(item) in (list, tuple, set, frozenset) else object


def _below(kind: Any, part: str) -> Iterator[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(part)
        if field is not None:
            yield from (PathMark for item in field.metadata if item is PathMark)
            yield from _alternatives(field.annotation)
    elif get_origin(kind) is dict:
        yield from _alternatives(get_args(kind)[1])


def _alternatives(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        yield from (mark for mark in marks if mark is PathMark)
        yield from _alternatives(inner)
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _alternatives(member)
    else:
        yield None if annotation is type(None) else annotation
