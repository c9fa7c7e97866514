"""Drawn pictures of circles, squares and triangles with masks or boxes: offline data for segmenters and detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edgepipe.contract import Dataset
from edgepipe.data.settings import PictureSettings, Side

CLASSES = ("circle", "square", "triangle")
_TASKS = {"masks": "segmentation", "boxes": "detection"}


class DrawnSettings(PictureSettings):
    """What sources of drawn pictures share."""

    labels: str
    train_size: int = Field(800, ge=1, le=1_000_000, description="pictures to train on")
    evaluation_size: int = Field(300, ge=1, le=1_000_000, description="pictures to evaluate on")


class ShapesData(DrawnSettings):
    """Pictures that are drawn as they are read: one to five shapes on an uneven ground, with noise; no download.

    With masks, class 0 is the ground; with boxes, classes are the three shapes. Drawn at `image_size`, so that
    `interpolation` and `fit` find nothing to do.
    """

    labels: Literal["masks", "boxes"] = Field(
        "masks", description="masks: a class for every pixel; boxes: of each shape"
    )
    image_size: Side | tuple[Side, Side] = Field(96, description="pixels: one side, or [height, width]; from 32 on")

    def task_known(self) -> str | None:
        return _TASKS[self.labels]

    def open(self, cache: Path) -> Dataset:  # noqa: ARG002  nothing is read, so there are no hashes to keep
        """Nothing is drawn before `batches` or `labels` ask for it."""
        from edgepipe.data.shapes import ShapesSource

        classes = ("ground", *CLASSES) if self.labels == "masks" else CLASSES
        return ShapesSource(self, self.signature(classes).model_copy(update={"task": _TASKS[self.labels]}))
