"""Pictures with one JSON file of instances for each split, as COCO defines it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from edgepipe.contract import Dataset, Tensor
from edgepipe.contract.guess import Contents, Guess, Sure
from edgepipe.data.box_settings import SUFFIXES, BoxSettings


class CocoData(BoxSettings):
    """Pictures with boxes in COCO's JSON: `annotations/instances_{train,val}2017.json`, or one in each split's folder.

    Classes count in the order of their category ids. Crowds need not be found. Pictures without annotations are
    examples without boxes; pictures that no JSON lists are left out.
    """

    classes: tuple[str, ...] | None = Field(
        None, description="category names in the model's order, boxes of others left out; null: all, by category id"
    )

    @classmethod
    def guess(cls, contents: Contents, inputs: Sequence[Tensor]) -> Guess | None:
        """JSON files beside pictures, called as COCO's or its exporters' are."""
        files, pictures = contents.of(".json"), contents.of(*SUFFIXES)
        if not files or not pictures:
            return None
        usual = [name for name in files if any(word in name.lower() for word in ("instances", "annotation", "coco"))]
        why = f"{len(pictures):,} pictures and {(usual or files)[0]}"
        return Guess(cls.asked_of(contents, inputs), Sure.CERTAIN if usual else Sure.POSSIBLE, why)

    def open(self, cache: Path) -> Dataset:
        """List the files, read the annotations; pictures are decoded by `batches`."""
        from edgepipe.data.boxes import opened
        from edgepipe.data.coco_file import splits_of
        from edgepipe.data.listing import list_root

        listing = list_root(self.root, cache, self.digest == "stat", (".json",))
        where = f"data.root={self.root}"
        return opened(self, listing, splits_of(where, listing, self), cache)
