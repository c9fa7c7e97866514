"""What of a command line is fixed, and what a search goes over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgepipe.errors import RecipeError
from edgepipe.recipe.command_line import TYPED
from edgepipe.recipe.hydra_app import parsed
from edgepipe.recipe.interpolations import refuse_long_numbers
from edgepipe.recipe.lookup import names_of
from edgepipe.recipe.words import MOST_JOBS, count_values, globbed, readable, told_count


@dataclass(frozen=True)
class Span:
    """Numbers between two ends; whole ones where the command line says int(interval(…))."""

    low: float
    high: float
    whole: bool


def search_space(overrides: list[str]) -> tuple[list[str], dict[str, list[str] | Span]]:
    """Split a command line into what is fixed and what is searched: key to its choices or its span.

    The words are those of a Hydra sweep: `key=a,b`, `choice(a, b)`, `range(1, 9)`, `interval(0.1, 0.7)`,
    `int(interval(1, 9))`.

    Raises:
        RecipeError: it cannot be read, or nothing is left to search.
    """
    fixed: list[str] = []
    space: dict[str, list[str] | Span] = {}
    for item in overrides:
        refuse_long_numbers(item, f"command line: {item.partition('=')[0][:60]}")
    overrides = [readable(item, sweeps=True, names=names_of(item.partition("=")[0])) for item in overrides]
    for text, override in zip(overrides, parsed(overrides), strict=True):
        if override.key_or_group == "trust_code" and override.is_sweep_override():
            raise RecipeError(f"command line: trust_code: not searched: {TYPED}")
        if not override.is_sweep_override():
            fixed.append(text)
        elif override.is_interval_sweep():
            span: Any = override.value()
            if not 0 <= span.end - span.start < float("inf"):  # nan neither
                raise RecipeError(
                    f"command line: {override.get_key_element()}: interval({span.start:g},{span.end:g}): write two "
                    "finite numbers, the smaller one first"
                )
            whole = isinstance(span.start, int) and isinstance(span.end, int)
            space[override.get_key_element()] = Span(span.start, span.end, whole)
        elif globbed(override) is not None:
            key = override.get_key_element()
            raise RecipeError(f"command line: {key}: glob(…) is not searched: write the names out, as in {key}=a,b")
        elif count_values(override) > MOST_JOBS:
            key, count = override.get_key_element(), count_values(override)
            raise RecipeError(
                f"command line: {key}: {told_count(count)} values: {MOST_JOBS:,} are the most. Numbers are searched "
                "without being written out by interval(LOW,HIGH), whole ones by int(interval(LOW,HIGH))"
            )
        else:
            space[override.get_key_element()] = [str(item) for item in override.sweep_string_iterator()]
    if not space:
        raise RecipeError(
            "command line: search: nothing to search: give at least one setting several values, as in "
            "'passes.prune.ratio=interval(0.1,0.7)' or data.image_size=32,48,64"
        )
    return fixed, space
