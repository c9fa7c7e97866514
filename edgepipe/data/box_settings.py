"""What sources of pictures with boxes share; imports neither numpy nor Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from edgepipe.contract import Tensor
from edgepipe.contract.guess import Contents
from edgepipe.data.settings import PictureSettings, Side, sized

TASK = "detection"
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""Of pictures that people annotate: a place is known by them before Pillow is imported."""


class BoxSettings(PictureSettings):
    """Settings of every source of pictures with boxes. By default pictures go in as most detectors want them."""

    image_size: Side | tuple[Side, Side] = Field(640, description="of the input: one side, or [height, width]")
    fit: Literal["stretch", "letterbox", "letterbox_corner", "crop"] = Field(
        "letterbox",
        description="letterbox: sides in proportion, in the middle of `fill`; letterbox_corner: at the left and top, "
        "as YOLOX; stretch: both sides resized; crop: the middle",
    )
    mean: tuple[float, ...] | None = Field(
        (0.0, 0.0, 0.0), description="per channel, subtracted after scaling; null: ImageNet's; 1 channel: averaged"
    )
    std: tuple[float, ...] | None = Field(
        (1.0, 1.0, 1.0), description="per channel, divides after that; null: ImageNet's; 1 channel: averaged"
    )
    root: Path = Field(description="folder or .zip with pictures and annotations")
    train: str | tuple[str, ...] | None = Field(
        None, description="the training split, or several, by name of folder, list or file; null: `train` or its like"
    )
    evaluation: str | tuple[str, ...] | None = Field(
        None, description="the evaluation split, or several, likewise; null: the first of `test`, `eval`, `val`, `dev`"
    )
    evaluation_share: float = Field(
        0.2, gt=0, lt=1, description="share of pictures held out, by seed and class, where no split is for evaluation"
    )
    calibration_size: int = Field(100, ge=0, description="pictures drawn from train, by seed, to calibrate with")

    def task_known(self) -> str | None:
        return TASK

    @staticmethod
    def asked_of(contents: Contents, inputs: Sequence[Tensor]) -> dict[str, Any]:
        """Settings for a place and a model, as `guess` gives them."""
        return {"root": str(contents.root), **sized(inputs)}

    def named(self, key: str) -> tuple[str, ...]:
        """The splits that `train` or `evaluation` names; empty: none is named."""
        said = getattr(self, key)
        return (said,) if isinstance(said, str) else tuple(said or ())
