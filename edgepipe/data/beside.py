"""Which picture an annotation belongs to: of its name, and nearest to it of several."""

from __future__ import annotations

from collections.abc import Iterable

from edgepipe.base.text import printable
from edgepipe.errors import DataError


def by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    """Paths by the last part of each without its suffix."""
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        found.setdefault(name.rpartition("/")[2].rpartition(".")[0], []).append(name)
    return found


def nearest(name: str, able: list[str], where: str) -> str | None:
    """Of several paths the one that shares most folders with `name`; None: there is none.

    Raises:
        DataError: two are as near.
    """
    if not able:
        return None
    ranked = sorted(able, key=lambda other: _shared(name, other), reverse=True)
    if len(ranked) > 1 and _shared(name, ranked[0]) == _shared(name, ranked[1]):
        raise DataError(
            f"{where}: {printable(name)} may belong to {printable(ranked[0])} or {printable(ranked[1])}: put it beside "
            "its own, or give them different names"
        )
    return ranked[0]


def _shared(one: str, other: str) -> tuple[int, int]:
    """(folders in common in front, words in common behind): `a/train/labels/1.txt` is of `a/train/images/1.jpg`."""
    a, b = one.split("/")[:-1], other.split("/")[:-1]
    front = 0
    while front < min(len(a), len(b)) and a[front] == b[front]:
        front += 1
    return front, len(set(a[front:]) & set(b[front:]))
