"""Splits of files by the names of their folders, or of themselves: `train2017`, `val/images`, `instances_test`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from edgepipe.base.text import printable
from edgepipe.data.layout import EVALUATION_FAMILIES, TRAIN_NAMES
from edgepipe.errors import DataError

_FAMILY = {name: family[0] for family in (TRAIN_NAMES, *EVALUATION_FAMILIES) for name in family}
_ORDER = [family[0] for family in EVALUATION_FAMILIES]
TRAIN = TRAIN_NAMES[0]


class Chosen(NamedTuple):
    """Files of each split; `evaluation` empty: to be held out of `train`."""

    train: tuple[str, ...]
    evaluation: tuple[str, ...]
    notes: tuple[str, ...] = ()


def family_of(text: str) -> str | None:
    """`train`, `test`, `eval`, `val` or `dev`, where the words of a name say one of them; else None (`trainval`)."""
    said = {_FAMILY[word] for word in re.findall(r"[a-z]+", text.lower()) if word in _FAMILY}
    return said.pop() if len(said) == 1 else None


def split_of(name: str, asked: Iterable[str]) -> str | None:
    """The split of a file: a part of its path that was asked for, else the family that its innermost folder says."""
    parts = name.split("/")
    stem = parts[-1].rpartition(".")[0]
    known = set(asked)
    for part in (stem, parts[-1], *reversed(parts[:-1])):
        if part in known:
            return part
    if name in known:
        return name
    return next((found for part in reversed(parts[:-1]) if (found := family_of(part))), None)


def choose(where: str, splits: Mapping[str, str | None], train: tuple[str, ...], evaluation: tuple[str, ...]) -> Chosen:
    """Which files are for training and which for evaluation.

    Args:
        splits: file to its split, as `split_of` says.
        train, evaluation: as the recipe names them; empty: by their usual names.
    Raises:
        DataError: a named split is not there.
    """
    there = sorted({str(split) for split in splits.values() if split is not None})
    for key, asked in (("train", train), ("evaluation", evaluation)):
        if lacking := [name for name in asked if name not in there]:
            shown = ", ".join(map(printable, there)) or "none"
            raise DataError(f"{where}: data.{key}={printable(lacking[0])}: no such split; there are: {shown}")
    train = train or tuple(name for name in (TRAIN,) if name in there and name not in evaluation)
    evaluation = evaluation or tuple(name for name in _ORDER if name in there and name not in train)[:1]
    if not train and not evaluation:
        return Chosen(tuple(sorted(splits)), ())
    if not train and all(split is not None for split in splits.values()):
        return Chosen((), _of(splits, evaluation))
    learned = _of(splits, train) if train else tuple(sorted(name for name, split in splits.items() if split is None))
    used = {*train, *evaluation}
    left = {name: len(_of(splits, (name,))) for name in there if name not in used}
    notes = tuple(
        f"data.root: {printable(name)} is left out, {count} files: {', '.join(sorted(used))} are used; data.train and "
        "data.evaluation name others"
        for name, count in left.items()
    )
    if train and (nowhere := sum(split is None for split in splits.values())):
        notes += (f"data.root: {nowhere} files in no split are left out",)
    return Chosen(learned, _of(splits, evaluation), notes)


def _of(splits: Mapping[str, str | None], names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(name for name, split in splits.items() if split in names))
