"""Drawn pages of text with a mask of their lines: offline data for detectors of text."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edgepipe.contract import Dataset
from edgepipe.data.drawn_shapes import DrawnSettings
from edgepipe.data.settings import Side

CLASSES = ("paper", "text")


class DrawnPagesData(DrawnSettings):
    """Pages that are drawn as they are read: lines of text of several sizes, beside rules, frames and spots.

    The mask is 1 inside of each line's rectangle, drawn in on all sides as detectors by differentiable binarization
    learn it, so that neighbouring lines do not touch. Without labels the float model's own mask is what is right.

    Drawn at `image_size`, so that `interpolation` and `fit` find nothing to do; BGR, and values of -1 to 1, unless said
    otherwise, as RapidOCR feeds PP-OCR's detectors.
    Source of the mask: Liao et al., Real-time Scene Text Detection with Differentiable Binarization, AAAI 2020, 3.3.
    """

    labels: Literal["masks", "none"] = Field(
        "masks", description="masks: of the lines; none: what the float model answers is right"
    )
    image_size: Side | tuple[Side, Side] = Field(
        (480, 640), description="pixels: one side, or [height, width]; from 64 on"
    )
    order: Literal["rgb", "bgr"] = Field("bgr", description="of the channels; bgr: as OpenCV reads pictures")
    mean: tuple[float, ...] | None = Field((0.5, 0.5, 0.5), description="per channel, subtracted after scaling")
    std: tuple[float, ...] | None = Field((0.5, 0.5, 0.5), description="per channel, divides after that")
    shrink: float = Field(
        0.65,
        gt=0,
        le=1,
        description="r: sides move in by area * (1 - r^2) / circumference; 1: whole rectangles; 0.4 of boxes with a "
        "margin, as people draw them, is much like 0.65 of those without",
    )
    noise: float = Field(6.0, ge=0, le=64, description="standard deviation of what is added to each pixel, of 255")
    calibration_size: int = Field(40, ge=0, description="pages drawn from train, by seed, to calibrate with")
    train_size: int = Field(100, ge=1, le=1_000_000, description="pages to train and calibrate with")
    evaluation_size: int = Field(60, ge=1, le=1_000_000, description="other pages, to measure with")

    def task_known(self) -> str | None:
        return "segmentation"

    def open(self, cache: Path) -> Dataset:  # noqa: ARG002  nothing is read, so there are no hashes to keep
        """Nothing is drawn before `batches` or `labels` ask for it."""
        from edgepipe.data.pages import PagesSource

        return PagesSource(self, self.signature(CLASSES).model_copy(update={"task": "segmentation"}))
