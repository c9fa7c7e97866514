"""What goes into a model and comes out: tensors with names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgepipe.errors import ModelError

Axis = int | str
"""A number, or the name of an axis whose length differs from example to example."""


class Tensor(BaseModel):
    """One input or output: `shape` is that of one example, without the axis that counts examples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dtype: str = Field("float32", description="as numpy names it")
    shape: tuple[Axis, ...]

    @property
    def fixed(self) -> bool:
        """Whether every axis is a number."""
        return all(isinstance(axis, int) for axis in self.shape)


class Preprocessing(BaseModel):
    """How a picture becomes the network's input; travels with every artifact to the device.

    `image_size` is (height, width) in pixels. A picture is decoded to RGB (or one grey channel), resized with
    `interpolation` ("none" for inputs that arrive ready, as from an .npz file) and placed as `fit` says, its bytes put
    in `order` and multiplied by `scale`; then `(x - mean) / std` per channel of that order. Output: float32,
    (channels, height, width). A picture that has the size already is neither resized nor placed.

    Attributes:
        fit: stretch: both sides resized to the input's; letterbox: sides in proportion, in the middle of `fill`;
            letterbox_corner: likewise, at the left and top; crop: resized to cover the input's sides divided by
            `crop_share`, the middle cut out; line: to the input's height, sides in proportion, at the left, a longer
            one squeezed, and what is free at the right 0 after normalization; line_free: likewise, but a longer one
            stays as long as it is, with what is free up to a multiple of 32 pixels.
        fill: 0 to 255, of what a letterbox leaves free.
        scale: 1/255 for [0, 1]; 1 for 0 to 255.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: tuple[int, int] | None = None
    channels: int | None = None
    interpolation: str = "none"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fit: Literal["stretch", "letterbox", "letterbox_corner", "crop", "line", "line_free"] = "stretch"
    fill: int = Field(114, ge=0, le=255)
    order: Literal["rgb", "bgr"] = "rgb"
    scale: float = Field(1 / 255, gt=0)
    crop_share: float = Field(0.875, gt=0, le=1)


class Text(BaseModel):
    """How a text becomes the network's inputs; travels with every artifact to the device.

    The `tokenizers` library and a tokenizer file of it make numbers of the text, cut to `max_length` of them; to the
    length of the examples' axis are added `pad_id`, 0 in the mask and `pad_type`. A length of 0 becomes one `pad_id`.

    Attributes:
        tokenizer: the file's name in the bundle; sha256: of its content; vocabulary: largest number, and one.
        padding: "fixed": every example is `max_length` long; "dynamic": as long as its own text.
        words: texts are given as words already, or parted at white space, and each is made numbers by itself.
        inputs: input to what it is given: "ids", "mask" (1 where there is text), "types" (1 in the second text).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokenizer: str = "tokenizer.json"
    sha256: str
    vocabulary: int = Field(ge=1)
    max_length: int = Field(ge=1)
    padding: Literal["dynamic", "fixed"] = "dynamic"
    pad_id: int = 0
    pad_type: int = 0
    words: bool = False
    inputs: dict[str, Literal["ids", "mask", "types"]]


class Sound(BaseModel):
    """How a recording becomes the network's input; travels with every artifact to the device.

    A recording is read as float32 samples in [-1, 1], its channels averaged, resampled to `sample_rate` (by a sinc in a
    Hann window), and cut or padded to `samples`: `edgepipe/data/sound_features.py`, of which every bundle has a copy.

    Attributes:
        step: samples of each run of a network with a state, with the last `context` samples before them in front; None:
            an example is one run.
        features: none: the samples; log_mel: natural logarithms of the power in `n_mels` bands from `fmin` to `fmax`
            Hz, plus `log_offset`, of frames of `n_fft` samples each `hop`; then (x - mean) / std, in both cases.
        axes: of log_mel; channel: where an axis of 1 is put.
        input: name of the network's input, and `constants` of others, which are the same for all examples.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample_rate: int = Field(gt=0)
    samples: int = Field(gt=0)
    step: int | None = Field(None, gt=0)
    context: int = Field(0, ge=0)
    features: Literal["none", "log_mel"] = "none"
    n_fft: int = Field(512, gt=1)
    hop: int = Field(160, gt=0)
    n_mels: int = Field(40, gt=0)
    fmin: float = Field(20.0, ge=0)
    fmax: float = Field(8000.0, gt=0)
    mel_scale: Literal["htk", "slaney"] = "htk"
    log_offset: float = Field(1e-6, gt=0)
    center: bool = False
    mean: float = 0.0
    std: float = Field(1.0, gt=0)
    axes: Literal["frames_mels", "mels_frames"] = "frames_mels"
    channel: Literal["none", "first", "last"] = "none"
    input: str = "input"
    constants: dict[str, int | float] = Field(default_factory=dict)


class Signature(BaseModel):
    """What goes in and comes out.

    Attributes:
        inputs: what the data gives for one example. A model with one input takes one tensor whatever it is called;
            of several, each goes to the input of its name.
        outputs: what the model gives for one example; empty where it is not known yet.
        classes: names, may be empty.
        text: how texts become the inputs; None: they are no texts.
        sound: how recordings become the input; None: they are none.
        task: name of the task that says what the outputs mean.
        state: input to output, for a model whose state goes round; `steps`: runs of one example.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...] = ()
    classes: tuple[str, ...] = ()
    preprocessing: Preprocessing = Preprocessing()
    text: Text | None = None
    sound: Sound | None = None
    task: str = "classification"
    state: dict[str, str] = Field(default_factory=dict)
    steps: int | None = Field(None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        """`input_shape=(3, 32, 32)` is short for one float32 input."""
        if isinstance(value, Mapping) and "input_shape" in value and "inputs" not in value:
            rest = {key: item for key, item in value.items() if key != "input_shape"}
            return {"inputs": (Tensor(name="input", shape=tuple(value["input_shape"])),), **rest}
        return value

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example of the only input.

        Raises:
            ModelError: there are several, or an axis is no number.
        """
        if len(self.inputs) != 1:
            names = ", ".join(f"'{item.name}'" for item in self.inputs)
            raise ModelError(f"{len(self.inputs)} inputs ({names}), where only one is taken")
        shape = self.inputs[0].shape
        if not all(isinstance(axis, int) for axis in shape):
            raise ModelError(f"input '{self.inputs[0].name}' has no fixed shape: {list(shape)}")
        return tuple(int(axis) for axis in shape)


def one_input(names: Sequence[str]) -> str:
    """What to say of data with several inputs where networks have one, in a sentence."""
    shown = ", ".join(f"'{name}'" for name in names)
    return (
        f"it takes networks with one input, and the data gives {len(names)} ({shown}): use model=onnx and passes that "
        "read onnx, or name the one array in data.inputs"
    )
