"""What sources of lines of text share: preprocessing, splits, hashing, decoding; imports neither numpy nor Pillow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from edgepipe.contract import DataSource, Preprocessing, Signature, Tensor
from edgepipe.data.settings import OnOverlap, Side, Trust


class LineSettings(DataSource):
    """Pictures of lines, as PaddleOCR's recognizers take them unless said otherwise.

    Source: PaddleOCR, tools/infer/predict_rec.py, resize_norm_img.
    """

    height: Side = Field(48, description="pixels of the network's input; the line's width follows in proportion")
    width: Side = Field(320, description="pixels of the network's input; what a shorter line leaves free is 0")
    longer: Literal["keep", "squeeze"] = Field(
        "keep", description="a line that is longer than width: stays as long as it is, or is squeezed into it"
    )
    channels: Literal[1, 3] = Field(3, description="3: in `order`, grey pictures repeated; 1: grey")
    order: Literal["rgb", "bgr"] = Field("bgr", description="of 3 channels; bgr: as OpenCV reads pictures")
    interpolation: Literal["bilinear", "bicubic", "nearest"] = Field("bilinear", description="how Pillow resizes")
    mean: tuple[float, ...] = Field((0.5,), description="subtracted after scaling to [0, 1]: one value, or per channel")
    std: tuple[float, ...] = Field((0.5,), description="divides after the mean is subtracted, likewise")
    calibration_size: int = Field(200, ge=0, description="lines drawn from train, by seed, to calibrate with")
    seed: int = Field(0, ge=0, lt=2**32, description="seed of every draw and split")
    workers: int | None = Field(None, ge=0, le=64, description="decoding workers; 0: none; null: one per core, up to 8")

    @model_validator(mode="after")
    def _one_value_per_channel(self) -> LineSettings:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels):
                raise ValueError(f"{name} has {len(values)} values for {self.channels} channels: give 1 or one of each")
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0 in every channel, found {list(self.std)}")
        return self

    @property
    def preprocessing(self) -> Preprocessing:
        """How a line becomes the network's input, as recorded in every manifest."""
        many = self.channels
        return Preprocessing(
            image_size=(self.height, self.width),
            channels=many,
            interpolation=self.interpolation,
            mean=self.mean if len(self.mean) == many else self.mean * many,
            std=self.std if len(self.std) == many else self.std * many,
            fit="line_free" if self.longer == "keep" else "line",
            order=self.order if many > 1 else "rgb",
        )

    def signature(self, free: bool) -> Signature:
        """Float32 pictures, (channels, height, width), and texts; `free`: lines are of several widths."""
        shape = (self.channels, self.height, "input_width" if free else self.width)
        picture = Tensor(name="input", shape=shape)
        return Signature(inputs=(picture,), preprocessing=self.preprocessing, task="ctc_text")


class LabelledLineSettings(LineSettings):
    """Lines that lie in files."""

    evaluation_size: int | None = Field(None, ge=1, description="evaluate on so many lines, drawn by seed; null: all")
    digest: Trust = Field(
        "stat", description="stat: trust cached hashes while size and mtime stay; content: read and hash all again"
    )
    on_overlap: OnOverlap = Field(
        "error", description="pictures in both train and evaluation: error, or drop them from train"
    )
