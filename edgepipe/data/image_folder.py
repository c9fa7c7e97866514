"""Pictures in one folder per class: on disk or in a .zip, split into train and evaluation or to be split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from edgepipe.contract import DataSource
from edgepipe.data.settings import PictureSettings
from edgepipe.errors import DataError
from edgepipe.text import printable

if TYPE_CHECKING:
    from edgepipe.data.listing import Listing
    from edgepipe.data.pictures import Pool

TRAIN_NAMES = ("train", "training", "trn")
EVALUATION_FAMILIES = (
    ("test", "testing", "tst"),
    ("val", "valid", "validation"),
    ("dev",),
    ("eval", "evaluation"),
)
"""What folders of splits are called, in any case of letters; of several families the first that is there is taken."""
EVALUATION_NAMES = tuple(name for family in EVALUATION_FAMILIES for name in family)


class ImageFolderData(PictureSettings):
    """Your own pictures: `ROOT/train/CLASS/*.jpg` and `ROOT/test/CLASS/*.jpg`, or `ROOT/CLASS/*.jpg`; .zip too."""

    root: Path = Field(description="folder or .zip; a single folder around everything is looked through")
    train: str | None = Field(None, description="training folder in root; null: `train`, where there is one")
    evaluation: str | None = Field(
        None, description="evaluation folder in root; null: the first of `test`, `val`, `dev`, `eval` and their like"
    )
    evaluation_share: float = Field(
        0.2, gt=0, lt=1, description="share of pictures held out, by seed and class, where no folder is for evaluation"
    )

    def open(self, cache: Path) -> DataSource:
        """List, hash and check the pictures; decoding waits for `batches`."""
        import numpy as np

        from edgepipe.data.listing import list_root
        from edgepipe.data.pictures import PictureSource
        from edgepipe.data.splits import hold_out

        where = f"data.root={self.root}"
        listing = list_root(self.root, cache, trust_stat=self.digest == "stat")
        left = listing.note()
        if not listing.hashes:
            raise DataError(
                f"{where}: no pictures in it{f': {left}' if left else ' (.jpg, .png, ...)'}: give a root with one "
                "folder per class"
            )
        layout = find_layout(where, listing, self.train, self.evaluation)
        notes = (*layout.notes, *([f"data.root: {left}"] if left else []))
        classes, train = _pool(where, listing, layout.train) if layout.train is not None else ([], None)
        if layout.evaluation is None:
            assert train is not None
            count = max(1, round(self.evaluation_share * len(train.names)))
            kept, held = hold_out(train.hashes, train.labels, self.seed, count)
            return PictureSource(where, self, classes, train.take(kept), train.take(held), notes)
        found, evaluation = _pool(where, listing, layout.evaluation)
        if train is None:
            classes, train = found, evaluation.take(np.empty(0, np.intp))
        elif classes != found:
            sides = ((layout.train, set(classes) - set(found)), (layout.evaluation, set(found) - set(classes)))
            text = "; ".join(f"only in {name}: {', '.join(sorted(some)[:5])}" for name, some in sides if some)
            raise DataError(f"{where}: train and evaluation have different classes: {text}. Both need the same folders")
        return PictureSource(where, self, classes, train, evaluation, notes)


class Layout(NamedTuple):
    """Folders that hold the class folders ("" is the root); None where there is none of the kind.

    `notes`: sentences on what is left out.
    """

    train: str | None
    evaluation: str | None
    notes: tuple[str, ...]


def find_layout(where: str, listing: Listing, train: str | None, evaluation: str | None) -> Layout:
    """Find the folders of train and evaluation, by their given or usual names.

    Raises:
        DataError: a given name is not there, or pictures lie beside the class folders.
    """
    from edgepipe.data.listing import parents

    filled = {folder for name in listing.hashes for folder in parents(name)}
    direct = {name.rpartition("/")[0] for name in listing.hashes}  # folders with pictures right in them
    prefix = ""
    while True:
        tops = sorted(name for name in _children(listing.folders, prefix) if name in filled)
        names = [name.rpartition("/")[2] for name in tops]
        given = {train, evaluation} & set(names)
        if len(tops) != 1 or tops[0] in direct or prefix in direct or _kind(names[0]) is not None or given:
            break
        prefix = tops[0]  # a single folder around everything
    # A folder with pictures right in it is a class, even one named `train` (beside `bus` and `tram`).
    splits = dict(zip(names, tops, strict=True))
    for key, name in (("train", train), ("evaluation", evaluation)):
        if name is not None and name not in splits:
            raise DataError(f"{where}: data.{key}={name}: no such folder with pictures; there are: {', '.join(names)}")
    usual = [name for name, path in splits.items() if path not in direct and name not in (train, evaluation)]
    train = train or _only(where, usual, (TRAIN_NAMES,), "train")
    evaluation = evaluation or _only(where, usual, EVALUATION_FAMILIES, "evaluation")
    if train is None and evaluation is None:
        return Layout(prefix, None, ())
    left = [name for name in names if name not in (train, evaluation)]
    lone = [name for name in left if splits[name] in direct]
    if lone and None in (train, evaluation) and not given:
        raise DataError(
            f"{where}: {train or evaluation}/ looks like a split, and {', '.join(lone[:5])} beside it like classes: "
            "say which it is: data.train=NAME and data.evaluation=NAME, or move the classes into folders of a split"
        )
    counts = {name: sum(path.startswith(f"{splits[name]}/") for path in listing.hashes) for name in left}
    notes = tuple(
        f"data.root: {printable(name)}/ is left out, {counts[name]} pictures: "
        f"only {printable(' and '.join(filter(None, (train, evaluation))))} are used; data.train and "
        "data.evaluation name others"
        for name in left
    )
    return Layout(splits[train] if train else None, splits[evaluation] if evaluation else None, notes)


def _kind(name: str) -> str | None:
    """Which split a folder's name says."""
    small = name.casefold()
    return "train" if small in TRAIN_NAMES else "evaluation" if small in EVALUATION_NAMES else None


def _only(where: str, names: list[str], families: tuple[tuple[str, ...], ...], kind: str) -> str | None:
    """The folder that is this split by its name.

    Raises:
        DataError: two of them mean the same.
    """
    for group in families:
        found = [name for name in names if name.casefold() in group]
        if len(found) > 1:
            raise DataError(
                f"{where}: {' and '.join(f'{name}/' for name in found)} both mean {kind} by their names: "
                f"say which, data.{kind}={found[0]}, or join them"
            )
        if found:
            return found[0]
    return None


def _children(folders: set[str], parent: str) -> list[str]:
    start = f"{parent}/" if parent else ""
    return [name for name in folders if name.startswith(start) and "/" not in name[len(start) :]]


def _pool(where: str, listing: Listing, folder: str) -> tuple[list[str], Pool]:
    """Sorted class names and the pictures of all class folders in `folder`, sorted by path."""
    import numpy as np

    from edgepipe.data.pictures import Pool

    start = f"{folder}/" if folder else ""
    names = sorted(name for name in listing.hashes if name.startswith(start))
    of_name = [name[len(start) :].partition("/")[0] if "/" in name[len(start) :] else None for name in names]
    if None in of_name:
        stray = names[of_name.index(None)]
        raise DataError(f"{where}: {stray} lies beside the class folders: move it into one of them, or remove it")
    hidden = (".", "__MACOSX")
    classes = sorted(
        name[len(start) :] for name in _children(listing.folders, folder) if not name[len(start) :].startswith(hidden)
    )
    empty = sorted(set(classes) - set(of_name))
    if empty:
        raise DataError(f"{where}: the class folder {start}{empty[0]} has no pictures: fill it or remove it")
    index = {name: row for row, name in enumerate(classes)}
    labels = np.array([index[name] for name in of_name if name is not None], np.int64)
    return classes, Pool(names, labels, [listing.hashes[name] for name in names], lambda row: listing.read(names[row]))
