"""Pictures with a text file each, a line for each box, as trainers of the YOLO family want them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from edgepipe.contract import Dataset, Tensor
from edgepipe.contract.guess import Contents, Guess, Sure
from edgepipe.data.box_settings import SUFFIXES, BoxSettings


class YoloData(BoxSettings):
    """Pictures with boxes as text: `images/` and `labels/` with or without splits, and a YAML file of class names.

    A line is `class cx cy w h` in shares of the picture's sides, or a polygon, whose box is taken. A picture without a
    text file is an example without boxes. Splits are those of the YAML file (`train`, `val`, `test`), else folders.
    """

    classes: tuple[str, ...] | None = Field(
        None, description="names of classes 0, 1, ...; null: `names` of the YAML file, or the lines of classes.txt"
    )
    yaml: str | None = Field(None, description="path of the YAML file in root; null: the only one that has `names`")

    @classmethod
    def guess(cls, contents: Contents, inputs: Sequence[Tensor]) -> Guess | None:
        """Text files with the names of pictures, in folders called labels or beside a file of class names."""
        both = contents.stems(".txt") & contents.stems(*SUFFIXES)
        folders = {part for name in contents.of(".txt") for part in name.split("/")[:-1]}
        named = any(name.rpartition("/")[2].lower() in ("data.yaml", "classes.txt") for name in contents.names)
        if not both or not ("labels" in folders or named):
            return None
        return Guess(cls.asked_of(contents, inputs), Sure.CERTAIN, f"{len(both):,} pictures with a .txt file each")

    def open(self, cache: Path) -> Dataset:
        """List the files, read the annotations; pictures are decoded by `batches`."""
        from edgepipe.data.boxes import Splits, opened
        from edgepipe.data.listing import list_root
        from edgepipe.data.yolo_file import classes_of, described, labelled, pictures_of

        where = f"data.root={self.root}"
        listing = list_root(self.root, cache, self.digest == "stat", (".txt", ".yaml", ".yml"))
        about = described(where, listing, self.yaml)
        classes = self.classes or classes_of(where, listing, about)
        chosen = pictures_of(where, listing, about, self.named("train"), self.named("evaluation"))
        train, evaluation = (
            labelled(where, listing, names, len(classes)) for names in (chosen.train, chosen.evaluation)
        )
        return opened(self, listing, Splits(train, evaluation, classes, chosen.notes), cache)
