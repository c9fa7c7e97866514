"""What the data part of a recipe may say; imports neither numpy nor Pillow, so that `list` answers at once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgepipe.contract import DataSource, Preprocessing, Signature, Tensor

PIXEL = 0.003921568393707275
"""The largest float32 below 1/255. A byte of a picture, scaled to [0, 1] and divided by it, is that byte or a hair
more: a cast to whole numbers, which cuts, gives each of the 256 back."""

Side = Annotated[int, Field(ge=1, le=4096)]
Trust = Literal["stat", "content"]
OnOverlap = Literal["error", "drop"]


class PictureSettings(DataSource):
    """Settings that all sources of pictures share: preprocessing, splits, hashing, decoding."""

    image_size: Side | tuple[Side, Side] = Field(64, description="pixels after resizing: one side, or [height, width]")
    channels: Literal[1, 3] = Field(3, description="3: RGB, grey pictures repeated; 1: grey")
    interpolation: Literal["bilinear", "bicubic", "nearest"] = Field(
        "bilinear", description="how Pillow resizes; a picture that has the size already is left as it is"
    )
    mean: tuple[float, ...] = Field(
        (0.485, 0.456, 0.406), description="per channel, subtracted after scaling to [0, 1]; 1 channel: averaged"
    )
    std: tuple[float, ...] = Field(
        (0.229, 0.224, 0.225), description="per channel, divides after the mean is subtracted; 1 channel: averaged"
    )
    calibration_size: int = Field(200, ge=0, description="pictures drawn from train, by seed, to calibrate with")
    evaluation_size: int | None = Field(
        None, ge=1, description="evaluate on so many pictures, drawn by seed and class; null: all"
    )
    seed: int = Field(0, ge=0, description="seed of every draw and split")
    digest: Trust = Field(
        "stat", description="stat: trust cached hashes while size and mtime stay; content: read and hash all again"
    )
    on_overlap: OnOverlap = Field(
        "error", description="pictures in both train and evaluation: error, or drop them from train"
    )
    workers: int | None = Field(None, ge=0, le=64, description="decoding workers; 0: none; null: one per core, up to 8")

    @model_validator(mode="after")
    def _one_value_per_channel(self) -> PictureSettings:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels and (self.channels, len(values)) != (1, 3):
                raise ValueError(
                    f"{name} has {len(values)} values for {self.channels} channels: give one value per channel"
                )
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0 in every channel, found {list(self.std)}")
        return self

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes the network's input, as recorded in every manifest."""
        size = self.image_size
        return Preprocessing(
            image_size=(size, size) if isinstance(size, int) else size,
            channels=self.channels,
            interpolation=self.interpolation,
            mean=self._per_channel(self.mean),
            std=self._per_channel(self.std),
        )

    def as_pixels(self) -> PictureSettings:
        """The same pictures as whole numbers of 0 to 255, for a model that normalizes them itself."""
        return self.model_copy(update={"mean": (0.0,) * self.channels, "std": (PIXEL,) * self.channels})

    def _per_channel(self, values: tuple[float, ...]) -> tuple[float, ...]:
        return values if len(values) == self.channels else (round(sum(values) / len(values), 6),)

    def signature(self, classes: tuple[str, ...]) -> Signature:
        """Float32 pictures, (channels, height, width), of these classes."""
        preprocessing = self.preprocessing
        assert preprocessing.image_size is not None
        picture = Tensor(name="input", shape=(self.channels, *preprocessing.image_size))
        return Signature(inputs=(picture,), classes=classes, preprocessing=preprocessing)
