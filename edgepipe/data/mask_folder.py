"""Pictures with masks: a class for every pixel, in a second picture of the same name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from edgepipe.contract import Dataset, Tensor
from edgepipe.contract.guess import Contents, Guess, Sure
from edgepipe.data.settings import PictureSettings, sized

if TYPE_CHECKING:
    from edgepipe.data.masks import Table

_Value = Annotated[int, Field(ge=0, le=65535)]
_Colour = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]
_Look = _Value | _Colour | tuple[_Value | _Colour, ...]


class MaskFolderData(PictureSettings):
    """Your own pictures with masks: `ROOT/{train,val,test}/{images,masks}/NAME`, in either order, or without splits.

    A mask has a whole number for each pixel (grey or palette PNG), or a colour. Folders are told apart by their usual
    names, and a mask belongs to the picture of its name, `_mask` and the like left out.
    """

    root: Path = Field(description="folder or .zip; a single folder around everything is looked through")
    train: str | None = Field(None, description="folder of the training split; null: `train` or its like")
    evaluation: str | tuple[str, ...] | None = Field(
        None, description="folders of the evaluation split; null: the first of `test`, `eval`, `val` and their like"
    )
    evaluation_share: float = Field(
        0.2, gt=0, lt=1, description="share of pictures held out, by seed, where no folder is for evaluation"
    )
    images: str | None = Field(None, description="name of the folders with pictures; null: `images` or its like")
    masks: str | None = Field(None, description="name of the folders with masks; null: `masks` or its like")
    classes: tuple[str, ...] | dict[str, _Look] | None = Field(
        None,
        description="names of the values 0, 1, ...; or name to value or colour (#rrggbb) in the mask, or several: "
        "classes count in this order; null: values as they are, without names",
    )
    ignore_index: int | None = Field(
        255, ge=0, le=65535, description="value in the mask that is not judged; null: none"
    )
    others: Literal["error", "ignore"] = Field(
        "error", description="values and colours that `classes` does not name: error, or pixels that are not judged"
    )
    on_unpaired: Literal["error", "drop"] = Field(
        "error", description="a picture without a mask, or a mask without a picture: error, or leave it out"
    )

    @model_validator(mode="after")
    def _names_say_each_value_once(self) -> MaskFolderData:
        if isinstance(self.classes, dict):
            if len(self.classes) > 255:
                raise ValueError(f"classes: {len(self.classes)}, and at most 255 fit into a mask of bytes")
            said = [look for looks in self.classes.values() for look in _several(looks)]
            twice = sorted({str(look) for look in said if said.count(look) > 1})
            if twice:
                raise ValueError(f"classes: {', '.join(twice)} stands for two classes")
        return self

    @classmethod
    def guess(cls, contents: Contents, inputs: Sequence[Tensor]) -> Guess | None:
        """Pictures in folders called after masks, beside pictures of the same names elsewhere."""
        from edgepipe.data.listing import is_picture
        from edgepipe.data.pairing import MASKS

        def within(names: frozenset[str]) -> list[str]:
            pictures = [name for name in contents.names if is_picture(name)]
            return [name for name in pictures if names & {part.lower().rstrip("s") for part in name.split("/")[:-1]}]

        masks = within(MASKS.labels)
        if not masks or not within(MASKS.inputs):
            return None
        return Guess({"root": str(contents.root), **sized(inputs)}, Sure.CERTAIN, f"{len(masks):,} pictures with masks")

    def task_known(self) -> str | None:
        return "segmentation"

    def table(self) -> Table:
        """How a mask's values become classes."""
        from edgepipe.data.masks import Table

        looks: dict[int | tuple[int, int, int], int] = {}
        if isinstance(self.classes, dict):
            for number, named in enumerate(self.classes.values()):
                looks |= {_parsed(look): number for look in _several(named)}
        elif self.classes is not None:
            looks = {value: value for value in range(len(self.classes))}
        return Table(looks, self.ignore_index, self.others == "ignore")

    def open(self, cache: Path) -> Dataset:
        """List, hash and pair the files; decoding waits for `batches`."""
        from edgepipe.data.listing import list_root
        from edgepipe.data.masks import MaskReader
        from edgepipe.data.paired import PairedSource
        from edgepipe.data.pairing import MASKS, Asked, pairs_of

        where = f"data.root={self.root}"
        listing = list_root(self.root, cache, trust_stat=self.digest == "stat")
        evaluation = (self.evaluation,) if isinstance(self.evaluation, str) else self.evaluation
        drop = self.on_unpaired == "drop"
        asked = Asked(self.train, evaluation, self.images, self.masks, self.evaluation_share, self.seed, drop)
        found = pairs_of(where, listing, MASKS, asked)
        reader = MaskReader(self.table())
        classes = tuple(self.classes) if self.classes is not None else ()
        reader.refuse_black_and_white(where, found.evaluation, self.ignore_index)
        return PairedSource(where, self, classes, found, reader, "segmentation")


def _several(looks: _Look) -> tuple[int | str, ...]:
    return looks if isinstance(looks, tuple) else (looks,)


def _parsed(look: int | str) -> int | tuple[int, int, int]:
    if isinstance(look, int):
        return look
    return int(look[1:3], 16), int(look[3:5], 16), int(look[5:7], 16)
