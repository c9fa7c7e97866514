"""Which folders of a root are splits and which are classes: by their names; where a guess would cost, refused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from edgepipe.base.text import printable
from edgepipe.data.listing import Listing, parents
from edgepipe.errors import DataError

TRAIN_NAMES = ("train", "training", "trn")
EVALUATION_FAMILIES = (
    ("test", "testing", "tst"),
    ("eval", "evaluation"),
    ("val", "valid", "validation"),
    ("dev",),
)
"""What folders of splits are called, in any case of letters; of several families the first that is there is taken."""
ROOT = "."
"""The name by which a recipe says that the class folders lie right in the root."""
_FAMILIES = {"train": (TRAIN_NAMES,), "evaluation": EVALUATION_FAMILIES}
_KINDS = {name: kind for kind, families in _FAMILIES.items() for family in families for name in family}
_FILLERS = (
    *("set", "sets", "split", "data", "dataset"),
    *("image", "images", "img", "imgs", "picture", "pictures", "pic", "pics", "photo", "photos"),
)
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CLASSES_TOO = ("train", "valid")
"""Words for things as well: a train stands beside `bus` and `tram`, `valid` beside `invalid`."""


class Layout(NamedTuple):
    """Folders that hold the class folders ("" is the root); None where there is none of the kind.

    `notes`: sentences on what is left out or guessed. `apart`: folders within `train` that are no classes.
    """

    train: str | None
    evaluation: str | None
    notes: tuple[str, ...]
    apart: frozenset[str] = frozenset()


class _Tops(NamedTuple):
    """The folders below a prefix that hold pictures: names, their paths, and those with pictures right in them."""

    prefix: str
    paths: dict[str, str]
    direct: set[str]


def find_layout(where: str, listing: Listing, train: str | None, evaluation: str | None) -> Layout:
    """Find the folders of train and evaluation, by their given or usual names.

    Args:
        train: a folder's name, `.` for the root itself, or None: by its usual names.
        evaluation: likewise, without `.`.

    Raises:
        DataError: a given name is not there, or which folders are splits and which are classes cannot be told.
    """
    tops = _tops(listing, {train, evaluation})
    names = list(tops.paths)
    for key, name in (("train", train), ("evaluation", evaluation)):
        if name not in (None, *names) and (key, name) != ("train", ROOT):
            raise DataError(
                f"{where}: data.{key}={_shown([name])}: no such folder with pictures; there are: {_shown(names)}"
            )
    if train == ROOT:
        held = frozenset(() if evaluation is None else (tops.paths[evaluation],))
        return Layout(tops.prefix, tops.paths[evaluation] if evaluation else None, (), held)
    kinds = split_kinds([name for name in names if name not in (train, evaluation)], tops.direct)
    notes: tuple[str, ...] = ()
    if train is None and evaluation is None:
        notes = _check_direct(where, tops, kinds)
    given = train is not None or evaluation is not None
    train = train or _only(where, kinds, "train", tops)
    evaluation = evaluation or _only(where, kinds, "evaluation", tops)
    if train is None and evaluation is None:
        _refuse_repeated(where, listing, tops)
        return Layout(tops.prefix, None, notes)
    left = [name for name in names if name not in (train, evaluation)]
    _refuse_lone(where, listing, tops, train, evaluation, left, given)
    counts = {name: sum(path.startswith(f"{tops.paths[name]}/") for path in listing.hashes) for name in left}
    both = [printable(name) for name in (train, evaluation) if name]
    used = f"{' and '.join(both)} {'are' if len(both) > 1 else 'is'} used"
    notes += tuple(
        f"data.root: {printable(name)}/ is left out, {counts[name]} pictures: "
        f"only {used}; data.train and data.evaluation name others"
        for name in left
    )
    within = _looked_through(listing)
    return Layout(
        within(tops.paths[train]) if train else None, within(tops.paths[evaluation]) if evaluation else None, notes
    )


def _tops(listing: Listing, given: set[str | None]) -> _Tops:
    """The folders that the question is about: below a single folder around everything, where there is one."""
    filled = {folder for name in listing.hashes for folder in parents(name)}
    direct = {name.rpartition("/")[0] for name in listing.hashes}  # folders with pictures right in them
    prefix = ""
    while True:
        paths = {path.rpartition("/")[2]: path for path in children(listing.folders, prefix) if path in filled}
        here = _Tops(prefix, dict(sorted(paths.items())), {name for name, path in paths.items() if path in direct})
        if len(paths) != 1 or here.direct or prefix in direct or given & set(paths):
            return here
        (name, path), *_ = paths.items()
        if split_kinds([name], set()):
            inner = [child.rpartition("/")[2] for child in children(listing.folders, path) if child in filled]
            if len(set(split_kinds(inner, set()).values())) < 2:
                return here  # `train` alone, with class folders; but `training_data/train` and `…/test` are looked into
        prefix = path


def _looked_through(listing: Listing) -> Callable[[str], str]:
    """A folder to that of its class folders: below single ones around everything (`seg_train/seg_train`)."""
    filled = {folder for name in listing.hashes for folder in parents(name)}
    direct = {name.rpartition("/")[0] for name in listing.hashes}

    def within(folder: str) -> str:
        inner = [name for name in children(listing.folders, folder) if name in filled]
        return folder if len(inner) != 1 or folder in direct or inner[0] in direct else within(inner[0])

    return within


def split_kinds(names: Sequence[str], direct: set[str]) -> dict[str, str]:
    """Names that say a split, `train` or `evaluation`: alone (`Test`, `val2017`, `set_train`), or beside their like.

    `mnist_train` and `mnist_test` say it together, where neither has pictures right in it (`direct`); `steam_train`
    does not.
    """
    said = {name: found for name in names if (found := _said(name))}
    kinds = {name: _KINDS[word] for name, (word, rest) in said.items() if not rest}
    for rest in {rest for _, rest in said.values() if rest}:
        like = {name: _KINDS[word] for name, (word, other) in said.items() if other == rest and name not in direct}
        if len(set(like.values())) == 2:
            kinds |= like
    return kinds


def _said(name: str) -> tuple[str, tuple[str, ...]] | None:
    """The word of a split in a name, and its other words without those that say nothing; None: not one such word."""
    words = [_bare(word) for word in re.findall(r"[^\W\d_]+", _HUMPS.sub(" ", name).casefold())]
    splits = [word for word in words if word in _KINDS]
    return (splits[0], tuple(word for word in words if word not in (*splits, *_FILLERS))) if len(splits) == 1 else None


def _bare(word: str) -> str:
    """`trainset` is `train`; `dataset` stays."""
    for filler in _FILLERS:
        for rest in (word.removesuffix(filler), word.removeprefix(filler)):
            if rest in _KINDS:
                return rest
    return word


def _check_direct(where: str, tops: _Tops, kinds: dict[str, str]) -> tuple[str, ...]:
    """What to say of folders named as splits that have pictures right in them, as classes have.

    Raises:
        DataError: they are likely splits without class folders, which would become classes.
    """
    flat = [name for name in kinds if name in tops.direct]
    if not flat:
        return ()
    classes = [name for name in tops.paths if name not in kinds]
    if classes and len(flat) == len(kinds) == 1 and flat[0].casefold() in _CLASSES_TOO:
        return (f"data.root: {printable(flat[0])}/ is taken as a class, for it has pictures right in it",)
    full = [name for name, kind in kinds.items() if kind == "train" and name not in flat]
    alone = f"use the other alone (data.train={printable(full[0])}), " if full else ""
    beside = f" (beside {_shown(classes)})" if classes else ""
    raise DataError(
        f"{where}: {_shown(flat, '/', ' and ')}: by name no class but a split, with pictures right in it{beside} and "
        "not in a folder per class: sort them into folders (train/CLASS, test/CLASS), leave them out of the root, "
        f"{alone}or set data.train={ROOT} if all of these are classes"
    )


def _only(where: str, kinds: dict[str, str], kind: str, tops: _Tops) -> str | None:
    """The folder that is this split by its name.

    Raises:
        DataError: two of them mean the same.
    """
    able = [name for name, found in kinds.items() if found == kind and name not in tops.direct]
    for family in _FAMILIES[kind]:
        found = [name for name in able if (said := _said(name)) and said[0] in family]
        if len(found) > 1:
            raise DataError(
                f"{where}: {_shown(found, '/', ' and ')} both mean {kind} by their names: "
                f"say which, data.{kind}={printable(found[0])}, or join them"
            )
        if found:
            return found[0]
    return None


def _refuse_lone(
    where: str, listing: Listing, tops: _Tops, train: str | None, evaluation: str | None, left: list[str], given: bool
) -> None:
    """Folders beside a single split that look like the classes themselves, or like the other split."""
    if given or None not in (train, evaluation):
        return
    one = train or evaluation or ""
    lone = [name for name in left if name in tops.direct] if train is not None else left
    inner = _within(listing, tops)
    other = [name for name in left if _repeats(inner[name], inner[one])]
    if other:
        key = "evaluation" if train is not None else "train"
        raise DataError(
            f"{where}: {printable(one)}/ is a split by its name, and {_shown(other)} beside it hold the same folders: "
            f"say which is the other, data.{key}={printable(other[0])}, or leave them out of the root"
        )
    if lone:
        raise DataError(
            f"{where}: {printable(one)}/ looks like a split, and {_shown(lone)} beside it like "
            "classes: say which it is: data.train=NAME and data.evaluation=NAME, or move the classes into folders of a "
            f"split; data.train={ROOT} takes the folders of the root as classes"
        )


def _refuse_repeated(where: str, listing: Listing, tops: _Tops) -> None:
    """Folds (`1`, `2`, `3`) or splits of names unknown: they hold the same folders, as no classes do.

    A split may lack a rare class, and the root may hold other folders.
    """
    inner = _within(listing, tops)
    alike = [name for name in inner if any(_repeats(inner[name], inner[other]) for other in inner if other != name)]
    if alike:
        times = Counter(folder for name in alike for folder in inner[name])
        shared = sorted(folder for folder, count in times.items() if count > 1)
        raise DataError(
            f"{where}: {_shown(alike)} hold the same folders ({_shown(shared)}), as splits or "
            "folds do and classes do not: say which are which, data.train=NAME and data.evaluation=NAME, or set "
            f"data.train={ROOT} if these are the classes"
        )


def _within(listing: Listing, tops: _Tops) -> dict[str, frozenset[str]]:
    """The folders with pictures in each of those the question is about; of one with pictures right in it none."""
    found: dict[str, set[str]] = {name: set() for name in tops.paths}
    names = {path: name for name, path in tops.paths.items()}
    depth = next(iter(names), "").count("/") + 1  # parts of each path: all lie right in one folder
    for path in listing.hashes:
        parts = path.split("/")
        name = names.get("/".join(parts[:depth]))
        if name is not None and name not in tops.direct and len(parts) > depth + 1:
            found[name].add(parts[depth])
    return {name: frozenset(folders) for name, folders in found.items()}


def _repeats(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two folders hold mostly the same folders, two of them at least."""
    common = len(one & other)
    return common >= 2 and 2 * common >= max(len(one), len(other))


def children(folders: set[str], parent: str) -> list[str]:
    """Paths of the folders right in another one."""
    start = f"{parent}/" if parent else ""
    return [name for name in folders if name.startswith(start) and "/" not in name[len(start) :]]


def _shown(names: Sequence[str | None], after: str = "", between: str = ", ") -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return between.join(f"{printable(str(name))}{after}" for name in names[:5]) + more
