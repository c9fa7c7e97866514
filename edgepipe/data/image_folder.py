"""Pictures in one folder per class: on disk or in a .zip, split into train and evaluation or to be split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from edgepipe.contract import DataSource
from edgepipe.data.settings import PictureSettings
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.listing import Listing
    from edgepipe.data.pictures import Pool

EVALUATION_NAMES = ("test", "val", "valid", "validation")


class ImageFolderData(PictureSettings):
    """Your own pictures: `ROOT/train/CLASS/*.jpg` and `ROOT/test/CLASS/*.jpg`, or `ROOT/CLASS/*.jpg`; .zip too."""

    root: Path = Field(description="folder or .zip; a single folder around everything is looked through")
    train: str | None = Field(None, description="training folder in root; null: `train`, where there is one")
    evaluation: str | None = Field(
        None, description="evaluation folder in root; null: the first of `test`, `val`, `valid`, `validation`"
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
        if not listing.hashes:
            raise DataError(f"{where}: no pictures in it (.jpg, .png, ...): give a root with one folder per class")
        layout = find_layout(where, listing, self.train, self.evaluation)
        classes, train = _pool(where, listing, layout.train) if layout.train is not None else ([], None)
        if layout.evaluation is None:
            assert train is not None
            count = max(1, round(self.evaluation_share * len(train.names)))
            kept, held = hold_out(train.hashes, train.labels, self.seed, count)
            return PictureSource(where, self, classes, train.take(kept), train.take(held))
        found, evaluation = _pool(where, listing, layout.evaluation)
        if train is None:
            classes, train = found, evaluation.take(np.empty(0, np.intp))
        elif classes != found:
            sides = ((layout.train, set(classes) - set(found)), (layout.evaluation, set(found) - set(classes)))
            text = "; ".join(f"only in {name}: {', '.join(sorted(some)[:5])}" for name, some in sides if some)
            raise DataError(f"{where}: train and evaluation have different classes: {text}. Both need the same folders")
        return PictureSource(where, self, classes, train, evaluation)


class Layout(NamedTuple):
    """Folders that hold the class folders ("" is the root); None where there is none of the kind."""

    train: str | None
    evaluation: str | None


def find_layout(where: str, listing: Listing, train: str | None, evaluation: str | None) -> Layout:
    """Find the folders of train and evaluation, by their given or usual names.

    Raises:
        DataError: a given name is not there, or pictures lie beside the class folders.
    """
    from edgepipe.data.listing import parents

    filled = {folder for name in listing.hashes for folder in parents(name)}
    direct = {name.rpartition("/")[0] for name in listing.hashes}  # folders with pictures right in them
    usual = ("train", *EVALUATION_NAMES)
    prefix = ""
    while True:
        tops = sorted(name for name in _children(listing.folders, prefix) if name in filled)
        names = [name.rpartition("/")[2] for name in tops]
        given = {train, evaluation} & set(names)
        if len(tops) != 1 or tops[0] in direct or prefix in direct or names[0] in usual or given:
            break
        prefix = tops[0]  # a single folder around everything
    # A folder with pictures right in it is a class, even one named `train` (beside `bus` and `tram`).
    splits = dict(zip(names, tops, strict=True))
    for key, name in (("train", train), ("evaluation", evaluation)):
        if name is not None and name not in splits:
            raise DataError(f"{where}: data.{key}={name}: no such folder with pictures; there are: {', '.join(names)}")
    auto = {name: path for name, path in splits.items() if path not in direct}
    train = train or ("train" if "train" in auto else None)
    evaluation = evaluation or next((name for name in EVALUATION_NAMES if name in auto and name != train), None)
    if train is None and evaluation is None:
        return Layout(prefix, None)
    return Layout(splits[train] if train else None, splits[evaluation] if evaluation else None)


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
