"""What a source makes of a file or folder that somebody simply has: its settings, how sure it is, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple


class Sure(IntEnum):
    """How sure a source is that a place is its own."""

    POSSIBLE = 1  # nothing speaks against it
    LIKELY = 2  # names and layout are such
    CERTAIN = 3  # no other source has such files


class Guess(NamedTuple):
    """What a source would be set to.

    Attributes:
        settings: of the source, as a recipe has them.
        why: what was found, in a few words, as in "120 pictures in 4 class folders".
    """

    settings: Mapping[str, Any]
    sure: Sure
    why: str


@dataclass(frozen=True)
class Contents:
    """Names of what lies at a place: a folder, a .zip, or a file alone.

    Attributes:
        root: the place, as it was given.
        names: paths in it with /, sorted, hidden ones left out; of a file its own name. At most `MOST_NAMES`.
    """

    root: Path
    names: Sequence[str]

    @cached_property
    def suffixes(self) -> Counter[str]:
        """How many files have each suffix, in small letters: ".jpg"."""
        return Counter(suffix_of(name) for name in self.names)

    def of(self, *suffixes: str) -> list[str]:
        """The files with one of these suffixes."""
        return [name for name in self.names if suffix_of(name) in suffixes]

    def stems(self, *suffixes: str) -> set[str]:
        """Names without folders and suffix, of the files with one of these suffixes."""
        return {name.rpartition("/")[2].rpartition(".")[0] for name in self.of(*suffixes)}

    @property
    def alone(self) -> bool:
        """Whether the place is one file, no folder and no archive."""
        return len(self.names) == 1 and self.names[0] == self.root.name


def suffix_of(name: str) -> str:
    """ ".jpg" of "a/B.JPG"; "" of a name without one."""
    base = name.rpartition("/")[2]
    _, dot, suffix = base.rpartition(".")
    return f".{suffix.lower()}" if dot else ""
