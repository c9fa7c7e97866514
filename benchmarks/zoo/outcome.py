"""What became of a network in one chain of passes: helps, works, off, refused, failed; kept as JSON, shown as a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

Verdict = Literal["helps", "works", "off", "refused", "failed"]

KEPT = 0.9
"""Least R2 of the worst output (its cosine where it hardly varies) that is called alike."""
SMALLER = 1.2
NOT_SLOWER = 0.95
"""Of a ratio of times, whose noise on small networks is a few percent."""


class Outcome(BaseModel):
    """One chain on one network.

    Attributes:
        kept: R2 of the worst output against the same network in float, or its cosine where it hardly varies.
        why: first line of what was said, where it was refused, or of what is amiss.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: Verdict
    kept: float | None = None
    smaller: float | None = None
    faster: float | None = None
    seconds: float = 0.0
    why: str = ""

    @classmethod
    def measured(cls, kept: float, smaller: float, faster: float, seconds: float) -> Outcome:
        """Of a run that came to its end."""
        verdict: Verdict = "off" if kept < KEPT else "helps" if smaller >= SMALLER and faster >= NOT_SLOWER else "works"
        return cls(verdict=verdict, kept=kept, smaller=smaller, faster=faster, seconds=seconds)


class Row(BaseModel):
    """One network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    family: str
    megabytes: float | None = None
    recipe: str = "ptq"
    chains: dict[str, Outcome]


COLUMNS = (
    "network",
    "kind",
    "MB",
    "recipe",
    "outcome",
    "kept",
    "smaller",
    "faster",
    "cut and int8",
    "kept of the cut",
    "smaller, cut",
    "faster, cut",
    "said",
)


def cells(row: Row) -> list[str]:
    """The row of the table."""
    first, second = next(iter(row.chains.values())), row.chains.get("cut")
    said = "; ".join(dict.fromkeys(item.why for item in (first, second) if item is not None and item.why))
    size = "" if row.megabytes is None else f"{row.megabytes:.2f}"
    return [row.name, row.family, size, row.recipe, *_four(first), *_four(second), said]


def _four(item: Outcome | None) -> list[str]:
    if item is None:
        return ["", "", "", ""]
    kept = "" if item.kept is None else f"{item.kept:.3f}"
    return [item.verdict, kept, *("" if ratio is None else f"{ratio:.2f}x" for ratio in (item.smaller, item.faster))]


def summary(rows: list[Row]) -> str:
    """How many of each verdict, in a sentence for each chain."""
    lines = []
    for chain, what in (("int8", "through int8 alone"), ("cut", "with a quarter of the channels cut first")):
        found = [row.chains[chain].verdict for row in rows if chain in row.chains]
        shares = [f"{found.count(verdict)} {verdict}" for verdict in get_args(Verdict) if verdict in found]
        lines.append(f"{len(found)} {what}: {', '.join(shares)}.")
    return " ".join(lines)


def worse(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """What got worse from a recorded row to one of now, in words; none: nothing.

    A verdict that is no more an answer, answers that were alike and are less so, bytes, and a speed that was won and is
    lost. Smaller changes of speed are not told: another machine, or another hour, has them too.
    """
    was, here = dict(zip(COLUMNS, before, strict=True)), dict(zip(COLUMNS, now, strict=True))
    found = []
    for verdict, *figures in (COLUMNS[4:8], COLUMNS[8:12]):
        if _ANSWERS.get(here[verdict], 0) < _ANSWERS.get(was[verdict], 0):
            found.append(f"{verdict}: {was[verdict]} -> {here[verdict] or 'none'} {here['said']}".rstrip())
            continue
        kept, smaller, faster = ((_number(was[column]), _number(here[column])) for column in figures)
        for column, (old, new) in zip(figures[:2], (kept, smaller), strict=True):
            if old is not None and new is not None and new < old - _LESS * abs(old):
                found.append(f"{column}: {was[column]} -> {here[column]}")
        if faster[0] is not None and faster[1] is not None and faster[0] > _WON and faster[1] < NOT_SLOWER:
            found.append(f"{figures[2]}: {was[figures[2]]} -> {here[figures[2]]}")
    return found


_ANSWERS = {"helps": 2, "works": 2, "off": 1}
_LESS = 0.05
_WON = 1.3


def _number(cell: str) -> float | None:
    return float(cell.removesuffix("x")) if cell else None
