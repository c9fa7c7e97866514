"""Pictures and what they should become: paired by name, or the input made of the target by shrinking it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from edgepipe.contract import Dataset
from edgepipe.data.settings import PictureSettings, Side


class ImagePairsData(PictureSettings):
    """Your own pictures in pairs, `ROOT/{train,test}/{input,target}/NAME`; or any folder of pictures, and `downscale`.

    Labels are the targets, scaled to [0, 1], `times_larger` times as large as the inputs. With `downscale` each target
    becomes its input by Pillow's bicubic filter. Without a root: tiles of a photograph that scikit-learn brings,
    its left to train on and its right to evaluate on; no download.
    """

    root: Path | None = Field(None, description="folder or .zip; null: a photograph that scikit-learn brings")
    train: str | None = Field(None, description="folder of the training split; null: `train` or its like")
    evaluation: str | tuple[str, ...] | None = Field(
        None, description="folders of the evaluation split; null: the first of `test`, `eval`, `val` and their like"
    )
    evaluation_share: float = Field(
        0.2, gt=0, lt=1, description="share of pictures held out, by seed, where no folder is for evaluation"
    )
    inputs: str | None = Field(None, description="name of the folders with inputs; null: `input` or its like")
    targets: str | None = Field(None, description="name of the folders with targets; null: `target` or its like")
    downscale: int | None = Field(
        None, ge=2, le=8, description="make each input by shrinking its target so many times; null: inputs are files"
    )
    times_larger: int = Field(1, ge=1, le=8, description="of targets than of inputs, where both are files")
    tiles: bool = Field(
        True,
        description="downscale: pictures are cut into tiles of the target's size; false: each is fitted as a whole",
    )
    image_size: Side | tuple[Side, Side] = Field(32, description="of the input: one side, or [height, width]")
    mean: tuple[float, ...] | None = Field(
        (0.0,), description="per channel, subtracted after scaling; null: ImageNet's"
    )
    std: tuple[float, ...] | None = Field((1.0,), description="per channel, divides after that; null: ImageNet's")
    on_unpaired: Literal["error", "drop"] = Field(
        "error", description="a file without its partner: error, or leave it out"
    )

    @model_validator(mode="before")
    @classmethod
    def _same_for_all_channels(cls, values: object) -> object:
        """One number stands for three channels."""
        if isinstance(values, dict):
            for name, usual in (("mean", 0.0), ("std", 1.0)):
                given = values.get(name, (usual,))
                if values.get("channels", 3) == 3 and isinstance(given, (list, tuple)) and len(given) == 1:
                    values = {**values, name: tuple(given) * 3}
        return values

    @model_validator(mode="after")
    def _one_way_to_a_scale(self) -> ImagePairsData:
        if self.downscale is not None and self.times_larger != 1:
            raise ValueError("times_larger is of inputs that are files; with downscale it is that: leave it out")
        if self.downscale is None and self.root is None:
            raise ValueError("the photograph has no inputs: set downscale, as in 2, or root")
        if self.downscale is not None and (self.inputs is not None or self.targets is not None):
            raise ValueError("inputs and targets name folders of pairs, and downscale makes its own: leave them out")
        return self

    def task_known(self) -> str | None:
        return "image"

    def open(self, cache: Path) -> Dataset:
        """List, hash and pair the files, or cut them into tiles; decoding waits for `batches`."""
        import numpy as np

        from edgepipe.data.listing import list_root
        from edgepipe.data.paired import PairedSource
        from edgepipe.data.pairing import TARGETS, Asked, alone_of, pairs_of
        from edgepipe.data.targets import Halved, Target, bundled, cut

        where = f"data.root={self.root}" if self.root else "data=image_pairs"
        evaluation = (self.evaluation,) if isinstance(self.evaluation, str) else self.evaluation
        drop = self.on_unpaired == "drop"
        asked = Asked(self.train, evaluation, self.inputs, self.targets, self.evaluation_share, self.seed, drop)
        reader: Target = Target(self.times_larger) if self.downscale is None else Halved(self.downscale)
        if self.root is None:
            found = bundled()
        else:
            listing = list_root(self.root, cache, trust_stat=self.digest == "stat")
            find = pairs_of if self.downscale is None else alone_of
            found = find(where, listing, TARGETS, asked)
        if self.downscale is not None and self.tiles:
            preprocessing = self.preprocessing
            assert preprocessing.image_size is not None
            height, width = (side * self.downscale for side in preprocessing.image_size)
            found = cut(where, found, height, width)
        to_unit = np.float32(255)
        return PairedSource(where, self, (), found, reader, "image", lambda labels: labels.astype(np.float32) / to_unit)
