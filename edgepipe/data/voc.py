"""Pictures with an XML file each, as PASCAL VOC and the usual annotation tools write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from edgepipe.contract import Dataset, Tensor
from edgepipe.contract.guess import Contents, Guess, Sure
from edgepipe.data.box_settings import SUFFIXES, BoxSettings
from edgepipe.errors import DataError

if TYPE_CHECKING:
    from edgepipe.data.boxes import Annotated
    from edgepipe.data.listing import Listing


class VocData(BoxSettings):
    """Pictures with boxes in PASCAL VOC's XML: `ROOT/{train,val,test}/{images,annotations}`, VOCdevkit, side by side.

    An XML file belongs to the picture of its name. Splits are folders, or VOC's lists in `ImageSets/Main`. A picture
    without an XML file is left out; one whose XML has no object is an example without boxes. `difficult` boxes need not
    be found.
    """

    classes: tuple[str, ...] | None = Field(
        None, description="names in the model's order, boxes of others left out; null: all that occur, sorted"
    )

    @classmethod
    def guess(cls, contents: Contents, inputs: Sequence[Tensor]) -> Guess | None:
        """XML files with the names of pictures."""
        both = contents.stems(".xml") & contents.stems(*SUFFIXES)
        if not both:
            return None
        return Guess(cls.asked_of(contents, inputs), Sure.CERTAIN, f"{len(both):,} pictures with an .xml file each")

    def open(self, cache: Path) -> Dataset:
        """List the files, read the annotations; pictures are decoded by `batches`."""
        from edgepipe.data.beside import by_stem, nearest
        from edgepipe.data.boxes import Splits, opened
        from edgepipe.data.listing import list_root
        from edgepipe.data.split_names import choose, split_of
        from edgepipe.data.voc_file import read_voc

        where = f"data.root={self.root}"
        listing = list_root(self.root, cache, self.digest == "stat", (".xml", ".txt"))
        files = [name for name in listing.others if name.lower().endswith(".xml")]
        if not files:
            raise DataError(f"{where}: no .xml file in it: data=voc wants one beside, or for, each picture")
        stems = by_stem(listing.hashes)
        pictures: dict[str, str] = {}
        alone = []
        for file in files:
            picture = nearest(file, stems.get(file.rpartition("/")[2].rpartition(".")[0], []), where)
            if picture is None:
                alone.append(file)
            elif picture in pictures:
                raise DataError(f"{where}: {pictures[picture]} and {file} are both of {picture}: keep one")
            else:
                pictures[picture] = file
        if not pictures:
            raise DataError(f"{where}: no .xml file has the name of a picture, as {files[0]}: name them alike")
        asked = (self.named("train"), self.named("evaluation"))
        listed = _listed(listing, asked)
        splits = {name: split_of(name, (*asked[0], *asked[1])) for name in pictures}
        if listed:
            splits = {name: listed.get(name.rpartition("/")[2].rpartition(".")[0]) for name in pictures}
        chosen = choose(where, splits, *asked)
        read = {name: read_voc(pictures[name], listing) for name in (*chosen.train, *chosen.evaluation)}
        classes = self.classes or tuple(sorted({label for item in read.values() for label in item.labels}))
        if not classes:
            raise DataError(f"{where}: no .xml file has an object: there is nothing to find")
        numbers = {name: number for number, name in enumerate(classes)}
        notes = [*chosen.notes, *_left_out(len(alone), len(listing.hashes) - len(pictures))]
        unknown = sorted({label for item in read.values() for label in item.labels} - set(classes))
        if unknown:
            notes.append(f"data.classes: boxes of {', '.join(unknown[:5])} are left out, for it does not name them")

        def of(names: tuple[str, ...]) -> dict[str, Annotated]:
            return {name: read[name].annotated(numbers) for name in names}

        return opened(self, listing, Splits(of(chosen.train), of(chosen.evaluation), classes, tuple(notes)), cache)


def _left_out(files: int, pictures: int) -> list[str]:
    said = []
    if pictures:
        said.append(f"data.root: {pictures} picture{'s' * (pictures > 1)} without an .xml file left out")
    if files:
        said.append(f"data.root: {files} .xml file{'s' * (files > 1)} without a picture left out")
    return said


def _listed(listing: Listing, asked: tuple[tuple[str, ...], tuple[str, ...]]) -> dict[str, str]:
    """Name of a picture to the list of VOC's ImageSets/Main that has it; empty: there are none that tell splits."""
    from edgepipe.data.split_names import family_of

    found: dict[str, str] = {}
    wanted = {name for names in asked for name in names}
    for file in listing.others:
        folders, stem = file.split("/")[:-1], file.rpartition("/")[2].rpartition(".")[0]
        if not file.lower().endswith(".txt") or folders[-2:] != ["ImageSets", "Main"]:
            continue
        split = stem if stem in wanted else family_of(stem) if stem == family_of(stem) else None
        if split is not None and (stem in wanted or not wanted & {*found.values()}):
            for line in listing.other(file, 16 << 20).decode("utf-8", "replace").splitlines():
                if line.split():
                    found.setdefault(line.split()[0], split)
    return found
