"""Entities in rows of tags, by the rules of seqeval and conlleval: BIO, IOBES and what people write instead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MARKS = "BIESLU"
"""Letters in front of a type; L and U are E and S in the words of BILOU."""
_WORDS = {"L": "E", "U": "S"}


def is_marked(classes: Sequence[str]) -> bool:
    """Whether the names of classes say where entities begin."""
    return any(name[:2] in [f"{mark}-" for mark in MARKS] for name in classes)


def kinds_of(classes: Sequence[str]) -> NDArray[np.int64]:
    """(classes, 2): of each the number of its letter in "OBIES", and that of its type; of no entity 0 and 0."""
    types = sorted({name[2:] for name in classes if name[:2] in [f"{mark}-" for mark in MARKS]})
    found = np.zeros((len(classes), 2), np.int64)
    for row, name in enumerate(classes):
        mark, dash, kind = name[:1], name[1:2], name[2:]
        if dash == "-" and mark in MARKS and mark:
            found[row] = "OBIES".index(_WORDS.get(mark, mark)), 1 + types.index(kind)
    return found


def entities(tags: NDArray[np.int64], kinds: NDArray[np.int64]) -> set[tuple[int, int, int]]:
    """(type, first place, last place) of every entity in a row of tags, (length,).

    An I or E without an entity of its type before it begins one, as seqeval has it without a mode. A tag outside of
    the classes is no entity. Source: CoNLL-2000's conlleval.
    """
    found: set[tuple[int, int, int]] = set()
    begun, before, kind_before = 0, 0, 0
    for place in range(len(tags) + 1):
        tag = int(tags[place]) if place < len(tags) else -1
        mark, kind = (int(kinds[tag][0]), int(kinds[tag][1])) if 0 <= tag < len(kinds) else (0, 0)
        if _ends(before, mark, kind_before, kind):
            found.add((kind_before, begun, place - 1))
        if _begins(before, mark, kind_before, kind):
            begun = place
        before, kind_before = mark, kind
    return found


_O, _B, _I, _E, _S = range(5)


def _ends(before: int, mark: int, kind_before: int, kind: int) -> bool:
    """Whether an entity ended in front of this tag."""
    if before in (_E, _S):
        return True
    if before in (_B, _I) and mark in (_O, _B, _S):
        return True
    return before != _O and kind_before != kind


def _begins(before: int, mark: int, kind_before: int, kind: int) -> bool:
    """Whether an entity begins with this tag."""
    if mark in (_B, _S):
        return True
    if mark in (_I, _E) and before in (_O, _E, _S):
        return True
    return mark != _O and kind_before != kind
