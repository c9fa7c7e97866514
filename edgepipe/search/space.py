"""What is searched: settings, their values, and points among them."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepipe.engine.record import describe
from edgepipe.recipe.compose import to_yaml
from edgepipe.recipe.schema import Recipe
from edgepipe.recipe.searched import Span


@dataclass(frozen=True)
class Search:
    """What one search is: fixed overrides, what is sampled, what it aims at, and the overrides of a cheap trial."""

    fixed: list[str]
    space: dict[str, list[str] | Span]
    objectives: Mapping[str, bool]  # in order, and whether higher is better
    cheap: list[str]
    folder: Path
    recipe: str  # as composed with the first value of everything, in YAML

    def place(self, trial: Any, *, cheap: bool) -> Path:
        """The folder of a trial's run."""
        return self.folder / ("cheap" if cheap else "trials") / f"{trial.number:04d}"

    def described(self) -> str:
        """Equal for searches that may share a study."""
        aims = list(self.objectives)
        return repr((self.recipe, sorted(self.fixed), sorted(self.space.items()), aims, sorted(self.cheap)))

    def points(self) -> float:
        """How many different points there are."""
        return math.prod(
            len(set(values)) if isinstance(values, list) else values.high - values.low + 1 if values.whole else math.inf
            for values in self.space.values()
        )


def first_of(values: list[str] | Span) -> str:
    """The value that stands for all before the first trial, as an override has it."""
    return values[0] if isinstance(values, list) else number_of(values.low, values)


def number_of(value: float, span: Span) -> str:
    """A number of a span, as an override has it."""
    return str(int(value)) if span.whole else f"{value:.4g}"


def by_chance(values: list[str] | Span, chance: random.Random) -> str | float:
    """One of the values, all alike probable."""
    if isinstance(values, list):
        return chance.choice(values)
    low, high = values.low, values.high
    return chance.randint(int(low), int(high)) if values.whole else chance.uniform(low, high)


def plain_yaml(recipe: Recipe) -> str:
    """The recipe as a file that `recipe=FILE` reads, every setting written out."""
    content = describe(recipe)
    for key in ("name", "trust_code", "tracking"):
        content.pop(key, None)
    for part in ("model", "data"):
        content[part].pop("trust_code", None)
    return "# @package _global_\n" + to_yaml(content)
