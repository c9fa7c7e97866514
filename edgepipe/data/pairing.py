"""Which files of a folder are pictures and which are labels of pictures, what belongs together, and to which split."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgepipe.base.text import printable
from edgepipe.data.layout import EVALUATION_FAMILIES, TRAIN_NAMES
from edgepipe.data.listing import Listing
from edgepipe.data.paired import Found, Pairs
from edgepipe.data.splits import hold_out
from edgepipe.errors import DataError

_PLACE = re.compile(r"[^\W_]+")
_FAMILY = {name: family[0] for family in (TRAIN_NAMES, *EVALUATION_FAMILIES) for name in family}
_ORDER = [family[0] for family in EVALUATION_FAMILIES]
_SHOWN = 3


@dataclass(frozen=True)
class Words:
    """What folders and ends of names are called.

    Attributes:
        inputs, labels: names of folders, in small letters, "s" at the end left out.
        suffixes: ends of a label's name that its picture's lacks, in small letters, longest first.
        label: what a label is called in messages; setting: of the data that names its folder.
    """

    inputs: frozenset[str]
    labels: frozenset[str]
    suffixes: tuple[str, ...]
    label: str
    setting: str
    input_setting: str = "images"


MASKS = Words(
    frozenset(("image", "img", "picture", "photo", "jpegimage", "leftimg8bit", "input", "rgb", "frame")),
    frozenset(
        (
            *("mask", "label", "annotation", "annot", "segmentation", "segmentationclass", "gt", "gtfine", "target"),
            *("groundtruth", "seg", "labelid", "indexlabel", "truth"),
        )
    ),
    (
        *("_gtfine_labelids", "_gtfine_labeltrainids", "_segmentation", "_groundtruth", "_labelids", "_labels"),
        *("_label", "_masks", "_mask", "_annotation", "_seg", "_gt", "_l", "-mask", ".mask", "-label"),
    ),
    "mask",
    "masks",
)


TARGETS = Words(
    frozenset(("input", "lr", "low", "lowres", "noisy", "degraded", "blur", "blurred", "rainy", "rgb", "image")),
    frozenset(("target", "hr", "high", "highres", "clean", "gt", "groundtruth", "truth", "sharp", "depth", "output")),
    ("_target", "_clean", "_hr", "_gt", "_depth", "-target", "_truth"),
    "target",
    "targets",
    "inputs",
)


@dataclass(frozen=True)
class Asked:
    """What a recipe says of folders; None: by their usual names."""

    train: str | None
    evaluation: tuple[str, ...] | None
    inputs: str | None
    labels: str | None
    share: float
    seed: int
    drop: bool


@dataclass
class _File:
    """A file by its place: `key` is what it shares with its partner; `split` a family or a folder asked for."""

    name: str
    key: tuple[str, ...]
    split: str | None
    kind: str | None


@dataclass
class _Sides:
    inputs: dict[tuple[str | None, tuple[str, ...]], str] = field(default_factory=dict)
    labels: dict[tuple[str | None, tuple[str, ...]], str] = field(default_factory=dict)


def pairs_of(where: str, listing: Listing, words: Words, asked: Asked) -> Found:
    """Pair the files of a listing and tell the splits apart.

    Raises:
        DataError: there are no labels, files of one side lack the other, two have one name, or a split is missing.
    """
    if not listing.hashes:
        raise DataError(f"{where}: no pictures in it (.jpg, .png, ...): give a root with pictures and {words.setting}")
    sides = _sides(where, [_file(name, words, asked) for name in sorted(listing.hashes)], words, asked)
    notes = _refuse_alone(where, sides, words, asked)
    both = sorted(sides.inputs.keys() & sides.labels.keys(), key=lambda key: sides.inputs[key])
    if not both:
        raise DataError(
            f"{where}: no picture has a {words.label} of its name. Give ROOT/images/NAME.jpg and "
            f"ROOT/{words.setting}/NAME.png, or name the folders (data.{words.input_setting}, data.{words.setting})"
        )
    splits = {key[0] for key in both}
    train, evaluation = _chosen(where, splits, asked)
    left = sorted(str(split) for split in splits - {train, *evaluation} if split is not None)
    if left:
        used = ", ".join(str(item) for item in (train, *evaluation) if item)
        notes = (*notes, f"data.root: {', '.join(left)} left out: {used} are used; data.evaluation names others")

    def pool(kept: Callable[[str | None], bool]) -> Pairs:
        keys = [key for key in both if kept(key[0])]
        names, labels = ([side[key] for key in keys] for side in (sides.inputs, sides.labels))
        hashes, label_hashes = ([listing.hashes[name] for name in column] for column in (names, labels))
        return Pairs(
            names,
            labels,
            hashes,
            label_hashes,
            lambda row: listing.read(names[row]),
            lambda row: listing.read(labels[row]),
        )

    if evaluation:
        return Found(pool(lambda split: split == train), pool(lambda split: split in evaluation), notes)
    whole = pool(lambda split: split == train)
    count = max(1, round(asked.share * len(whole.names)))
    kept, held = hold_out(whole.hashes, np.zeros(len(whole.names), np.int64), asked.seed, count)
    return Found(whole.take(kept), whole.take(held), notes)


def alone_of(where: str, listing: Listing, words: Words, asked: Asked) -> Found:
    """Every picture of a listing as a pair of itself, by split; folders other than those of splits say nothing.

    Raises:
        DataError: there are no pictures, or a split that was asked for is missing.
    """
    if not listing.hashes:
        raise DataError(f"{where}: no pictures in it (.jpg, .png, ...)")
    files = [_file(name, words, asked) for name in sorted(listing.hashes)]
    train, evaluation = _chosen(where, {file.split for file in files}, asked)

    def pool(names: list[str]) -> Pairs:
        hashes = [listing.hashes[name] for name in names]
        return Pairs(
            names, names, hashes, hashes, lambda row: listing.read(names[row]), lambda row: listing.read(names[row])
        )

    if evaluation:
        mine, theirs = ([f.name for f in files if f.split in kept] for kept in ((train,), evaluation))
        return Found(pool(mine), pool(theirs))
    whole = pool([file.name for file in files if file.split == train])
    count = max(1, round(asked.share * len(whole.names)))
    kept, held = hold_out(whole.hashes, np.zeros(len(whole.names), np.int64), asked.seed, count)
    return Found(whole.take(kept), whole.take(held))


def _file(name: str, words: Words, asked: Asked) -> _File:
    *folders, base = name.split("/")
    stem = base.rpartition(".")[0]
    rest: list[str] = []
    split: str | None = None
    kind: str | None = None
    for folder in folders:
        told_split, told_kind, said = _told(folder, words, asked)
        split, kind = told_split or split, told_kind or kind
        if not said:
            rest.append(folder)
    if kind != "input":
        for suffix in words.suffixes:
            if stem.lower().endswith(suffix) and len(stem) > len(suffix):
                stem, kind = stem[: -len(suffix)], "label"
                break
    if stem.lower().endswith("_leftimg8bit"):
        stem = stem[: -len("_leftimg8bit")]
    return _File(name, (*rest, stem), split, kind)


def _told(folder: str, words: Words, asked: Asked) -> tuple[str | None, str | None, bool]:
    """(split, `input` or `label`, whether that is all that a folder's name says)."""
    for side, name in (("input", asked.inputs), ("label", asked.labels)):
        if folder == name:
            return None, side, True
    if folder == asked.train or folder in (asked.evaluation or ()):
        return folder, None, True
    split: str | None = None
    kind: str | None = None
    others = False
    for word in (
        _PLACE.findall(folder.lower()) if folder.lower() not in words.inputs | words.labels else [folder.lower()]
    ):
        for part in _apart(word, words):
            bare = part.removesuffix("s")
            if part in _FAMILY:
                split = _FAMILY[part]
            elif asked.labels is None and (part in words.labels or bare in words.labels):
                kind = "label"
            elif asked.inputs is None and (part in words.inputs or bare in words.inputs):
                kind = "input"
            elif not part.isdigit():
                others = True
    said = (split is not None or kind is not None) and not others
    return (split, kind, said) if said else (None, None, False)


def _apart(word: str, words: Words) -> Iterable[str]:
    """`trainannot` is `train` and `annot`."""
    for name in _FAMILY:
        rest = word.removeprefix(name)
        if rest != word and rest.removesuffix("s") in words.inputs | words.labels:
            return name, rest
    return (word,)


def _sides(where: str, files: Sequence[_File], words: Words, asked: Asked) -> _Sides:
    found = _Sides()
    labelled = any(file.kind == "label" for file in files)
    if not labelled:
        folder = f"data.{words.setting}={asked.labels}" if asked.labels else f"`{words.setting}` or the like"
        raise DataError(
            f"{where}: no {words.setting}: no folder {folder}, and no name that ends in _{words.label}. "
            f"Name their folder with data.{words.setting}"
        )
    named = any(file.kind == "input" for file in files)
    for file in files:
        if file.kind is None and named:
            continue  # of neither folder
        side = found.labels if file.kind == "label" else found.inputs
        key = (file.split, file.key)
        if key in side:
            raise DataError(
                f"{where}: {printable(side[key])} and {printable(file.name)} are two of one name: remove or rename one"
            )
        side[key] = file.name
    return found


def _refuse_alone(where: str, sides: _Sides, words: Words, asked: Asked) -> tuple[str, ...]:
    """A note on what is left out for it has no partner.

    Raises:
        DataError: something has none, and that is an error.
    """
    alone = [sides.inputs[key] for key in sides.inputs.keys() - sides.labels.keys()]
    lonely = [sides.labels[key] for key in sides.labels.keys() - sides.inputs.keys()]
    told = []
    for names, lacking in ((alone, words.label), (lonely, "picture")):
        if names:
            shown = ", ".join(printable(name) for name in sorted(names)[:_SHOWN])
            told.append(f"{len(names)} without a {lacking} of their name ({shown}{', ...' * (len(names) > _SHOWN)})")
    if not told:
        return ()
    if not asked.drop and len(alone) < len(sides.inputs):
        raise DataError(
            f"{where}: {'; '.join(told)}: add what is missing, or set data.on_unpaired=drop to leave them out"
        )
    return (f"data.root: {'; '.join(told)}: left out",)


def _chosen(where: str, splits: set[str | None], asked: Asked) -> tuple[str | None, tuple[str, ...]]:
    """The split to train on (None: the files of no split's folder) and those to evaluate on; none: to be held out."""
    for setting, names in (("train", (asked.train,)), ("evaluation", asked.evaluation or ())):
        for name in names:
            if name is not None and name not in splits and _FAMILY.get(name.lower()) not in splits:
                there = ", ".join(sorted(str(split) for split in splits if split is not None)) or "none"
                raise DataError(f"{where}: data.{setting}={name}: no such folder with pairs; there are: {there}")
    if asked.evaluation is not None:
        evaluation = tuple(name if name in splits else _FAMILY[name.lower()] for name in asked.evaluation)
    else:
        evaluation = tuple(name for name in _ORDER if name in splits)[:1]
    train: str | None = None
    if asked.train is not None:
        train = asked.train if asked.train in splits else _FAMILY[asked.train.lower()]
    elif TRAIN_NAMES[0] in splits:
        train = TRAIN_NAMES[0]
    return train, evaluation
