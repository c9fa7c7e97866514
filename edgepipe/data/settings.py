"""What the data part of a recipe may say; imports neither numpy nor Pillow, so that `list` answers at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from edgepipe.contract import DataSource, Preprocessing, Signature, Tensor

PIXEL = 0.003921568393707275
"""The largest float32 below 1/255. A byte of a picture, scaled to [0, 1] and divided by it, is that byte or a hair
more: a cast to whole numbers, which cuts, gives each of the 256 back."""

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Side = Annotated[int, Field(ge=1, le=4096)]
Trust = Literal["stat", "content"]
OnOverlap = Literal["error", "drop"]


class PixelSettings(DataSource):
    """How a picture becomes the network's input."""

    image_size: Side | tuple[Side, Side] = Field(64, description="pixels after resizing: one side, or [height, width]")
    channels: Literal[1, 3] = Field(3, description="3: RGB, grey pictures repeated; 1: grey")
    interpolation: Literal["bilinear", "bicubic", "nearest"] = Field(
        "bilinear", description="how Pillow resizes; a picture that has the size already is left as it is"
    )
    fit: Literal["stretch", "letterbox", "letterbox_corner", "crop"] = Field(
        "stretch",
        description="stretch: both sides resized; letterbox: sides in proportion, in the middle of `fill`; "
        "letterbox_corner: at the left and top; crop: the middle, as networks for ImageNet are evaluated",
    )
    fill: int = Field(114, ge=0, le=255, description="what a letterbox leaves free, in every channel")
    crop_share: float = Field(
        0.875, gt=0, le=1, description="crop: image_size over the side resized to; 224 of 256 pixels are 0.875"
    )
    order: Literal["rgb", "bgr"] = Field("rgb", description="of the channels; bgr: as OpenCV reads pictures")
    scale: float = Field(1 / 255, gt=0, le=255, description="bytes times this: 1/255 gives [0, 1]; 1 gives 0 to 255")
    mean: tuple[float, ...] | None = Field(
        None,
        description="per channel in that order, subtracted after scaling; null: ImageNet's; 1 channel: averaged",
    )
    std: tuple[float, ...] | None = Field(
        None,
        description="per channel in that order, divides after the mean is subtracted; null: ImageNet's; 1 channel: "
        "averaged",
    )

    @model_validator(mode="after")
    def _one_value_per_channel(self) -> PixelSettings:
        for name, values in (("mean", self._mean()), ("std", self._std())):
            if len(values) != self.channels and (self.channels, len(values)) != (1, 3):
                raise ValueError(
                    f"{name} has {len(values)} values for {self.channels} channels: give one value per channel"
                )
        if min(self._std()) <= 0:
            raise ValueError(f"std must be above 0 in every channel, found {list(self._std())}")
        if self.order == "bgr" and self.channels == 1:
            raise ValueError("order: bgr has a meaning for 3 channels only: leave it out, or set channels to 3")
        return self

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes the network's input, as recorded in every manifest."""
        size = self.image_size
        return Preprocessing(
            image_size=(size, size) if isinstance(size, int) else size,
            channels=self.channels,
            interpolation=self.interpolation,
            mean=self._per_channel(self._mean()),
            std=self._per_channel(self._std()),
            fit=self.fit,
            fill=self.fill,
            order=self.order,
            scale=self.scale,
            crop_share=self.crop_share,
        )

    def as_pixels(self) -> PixelSettings:
        """The same pictures as whole numbers of 0 to 255, for a model that normalizes them itself."""
        plain = {"mean": (0.0,) * self.channels, "std": (PIXEL,) * self.channels, "scale": 1 / 255}
        return self.model_copy(update=plain)

    def _mean(self) -> tuple[float, ...]:
        return self._of_imagenet(_MEAN) if self.mean is None else self.mean

    def _std(self) -> tuple[float, ...]:
        return self._of_imagenet(_STD) if self.std is None else self.std

    def _of_imagenet(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """Red, green and blue in [0, 1], in the order and the units of these settings."""
        ordered = values[::-1] if self.order == "bgr" else values
        return ordered if self.scale == 1 / 255 else tuple(round(255 * self.scale * value, 6) for value in ordered)

    def _per_channel(self, values: tuple[float, ...]) -> tuple[float, ...]:
        return values if len(values) == self.channels else (round(sum(values) / len(values), 6),)

    def alternatives(self) -> Sequence[tuple[str, DataSource]]:
        """Values, order and fit that networks are trained with, each with one thing changed."""
        values: dict[str, dict[str, Any]] = {
            "ImageNet's mean and deviation": {"mean": None, "std": None, "scale": 1 / 255},
            "values of 0 to 1": {"mean": (0.0,) * self.channels, "std": (1.0,) * self.channels, "scale": 1 / 255},
            "values of -1 to 1": {"mean": (0.5,) * self.channels, "std": (0.5,) * self.channels, "scale": 1 / 255},
            "values of 0 to 255": {"mean": (0.0,) * self.channels, "std": (1.0,) * self.channels, "scale": 1.0},
        }
        changes = list(values.items())
        if self.channels == 3:
            turned = {name: None if (held := getattr(self, name)) is None else held[::-1] for name in ("mean", "std")}
            order = "rgb" if self.order == "bgr" else "bgr"
            changes.append((f"channels in the order {order.upper()}", {"order": order, **turned}))
        changes += [(f"fit: {fit}", {"fit": fit}) for fit in ("stretch", "letterbox", "letterbox_corner", "crop")]
        found = [(words, self.model_copy(update=update)) for words, update in changes]
        return [(words, source) for words, source in found if source.preprocessing != self.preprocessing]

    def signature(self, classes: tuple[str, ...]) -> Signature:
        """Float32 pictures, (channels, height, width), of these classes."""
        preprocessing = self.preprocessing
        assert preprocessing.image_size is not None
        picture = Tensor(name="input", shape=(self.channels, *preprocessing.image_size))
        return Signature(inputs=(picture,), classes=classes, preprocessing=preprocessing)


class PictureSettings(PixelSettings):
    """Settings that all sources of pictures share: preprocessing, splits, hashing, decoding."""

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


def sized(inputs: Sequence[Tensor]) -> Mapping[str, Any]:
    """Settings of size and channels for pictures that a model takes, as far as its inputs say them.

    Args:
        inputs: of the model; one of three axes, channels first or last, takes pictures.
    """
    pictures = [item.shape for item in inputs if len(item.shape) == 3]
    if len(pictures) != 1:
        return {}
    shape = pictures[0]
    first = shape[0] in (1, 3) or shape[2] not in (1, 3)
    channels, size = (shape[0], shape[1:]) if first else (shape[2], shape[:2])
    found: dict[str, Any] = {}
    if all(isinstance(side, int) for side in size):
        found["image_size"] = int(size[0]) if size[0] == size[1] else [int(side) for side in size]
    if channels == 1:
        found["channels"] = 1
    return found
