"""Pictures in one folder per class: on disk or in a .zip, split into train and evaluation or to be split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from edgepipe.base.text import printable
from edgepipe.contract import Dataset, Tensor
from edgepipe.contract.guess import Contents, Guess, Sure
from edgepipe.data.settings import PictureSettings, sized
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.listing import Listing
    from edgepipe.data.pictures import Pool


class ImageFolderData(PictureSettings):
    """Your own pictures: `ROOT/train/CLASS/*.jpg` and `ROOT/test/CLASS/*.jpg`, or `ROOT/CLASS/*.jpg`; .zip too."""

    root: Path = Field(description="folder or .zip; a single folder around everything is looked through")
    train: str | None = Field(
        None, description="training folder in root; null: `train` or its like, where there is one; `.`: the root itself"
    )
    evaluation: str | None = Field(
        None, description="evaluation folder in root; null: the first of `test`, `eval`, `val`, `dev` and their like"
    )
    evaluation_share: float = Field(
        0.2, gt=0, lt=1, description="share of pictures held out, by seed and class, where no folder is for evaluation"
    )

    @classmethod
    def guess(cls, contents: Contents, inputs: Sequence[Tensor]) -> Guess | None:
        """Pictures in folders, most of them several in one."""
        from edgepipe.data.listing import is_picture

        pictures = [name for name in contents.names if is_picture(name)]
        folders = {name.rpartition("/")[0] for name in pictures}
        if contents.alone or not pictures or "" in folders or 2 * len(folders) > len(pictures):
            return None
        why = f"{len(pictures):,} pictures in {len(folders)} folders"
        return Guess({"root": str(contents.root), **sized(inputs)}, Sure.LIKELY, why)

    def open(self, cache: Path) -> Dataset:
        """List, hash and check the pictures; decoding waits for `batches`."""
        import numpy as np

        from edgepipe.data.layout import find_layout
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
        notes: tuple[str, ...] = (*layout.notes, *([f"data.root: {left}"] if left else []))
        classes, train = _pool(where, listing, layout.train, layout.apart) if layout.train is not None else ([], None)
        if len(classes) == 1:
            notes += (f"data.root: one class only, {classes[0]}: there is nothing to tell apart",)
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
            text = "; ".join(
                f"only in {printable(str(name))}: {', '.join(sorted(some)[:5])}" for name, some in sides if some
            )
            raise DataError(f"{where}: train and evaluation have different classes: {text}. Both need the same folders")
        return PictureSource(where, self, classes, train, evaluation, notes)


def _pool(where: str, listing: Listing, folder: str, apart: frozenset[str] = frozenset()) -> tuple[list[str], Pool]:
    """Sorted class names and the pictures of all class folders in `folder`, sorted by path, but for those `apart`."""
    import numpy as np

    from edgepipe.data.layout import children
    from edgepipe.data.listing import is_hidden
    from edgepipe.data.pictures import Pool

    start = f"{folder}/" if folder else ""
    folders = sorted(name for name in children(listing.folders, folder) if name not in apart and not is_hidden(name))
    held = tuple(f"{name}/" for name in apart)
    names = sorted(name for name in listing.hashes if name.startswith(start) and not name.startswith(held))
    of_name = [f"{start}{name[len(start) :].partition('/')[0]}" for name in names]
    for name, its_folder in zip(names, of_name, strict=True):
        if name == its_folder:
            place = "lies beside the class folders: move it into one of them, or remove it"
            if not folders:
                place = "and the like lie in no folder of a class: sort them into one folder per class"
            raise DataError(f"{where}: {printable(name)} {place}")
    if empty := sorted(set(folders) - set(of_name)):
        raise DataError(f"{where}: the class folder {printable(empty[0])} has no pictures: fill it or remove it")
    classes = _class_names(where, [name[len(start) :] for name in folders])
    index = {name: row for row, name in enumerate(folders)}
    labels = np.array([index[name] for name in of_name], np.int64)
    return classes, Pool(names, labels, [listing.hashes[name] for name in names], lambda row: listing.read(names[row]))


def _class_names(where: str, folders: list[str]) -> list[str]:
    """Names of folders as people, JSON and terminals can take them: what is no letter is escaped (`caf\\xe9`).

    Raises:
        DataError: two become equal.
    """
    names: dict[str, str] = {}
    for folder in folders:
        name = printable(folder)
        if name in names:
            raise DataError(
                f"{where}: two class folders are written alike, {name}, for bytes of one are no letters: rename one"
            )
        names[name] = folder
    return list(names)
