"""What sources of sound share: rate, length, steps and features; imports no numpy, so that `list` answers at once."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from edgepipe.contract import DataSource, Signature, Sound, Tensor


class SoundSettings(DataSource):
    """Recordings as float32 samples in [-1, 1], one channel, or as logarithms of power in mel bands."""

    sample_rate: int = Field(16_000, ge=1000, le=192_000, description="samples a second that the network takes")
    samples: int = Field(
        16_000, ge=1, le=16_000_000, description="length of an example; 16000 at a rate of 16000 are a second"
    )
    input: str = Field("input", min_length=1, description="name of the network's input, where it has several")
    step: int | None = Field(
        None, ge=1, description="samples of each run, of a network whose state goes round; null: an example is one run"
    )
    context: int = Field(0, ge=0, le=100_000, description="samples from before a step that are put in front of it")
    state: dict[str, str] = Field(default_factory=dict, description="input to the output that feeds it in the next run")
    constants: dict[str, int | float] = Field(
        default_factory=dict, description="other inputs, the same for all: a sample rate, as {sr: 16000}"
    )
    features: Literal["none", "log_mel"] = Field("none", description="none: the samples; log_mel: frames of mel bands")
    n_fft: int = Field(512, ge=2, le=65_536, description="samples of a frame")
    hop: int = Field(160, ge=1, le=65_536, description="samples from frame to frame")
    n_mels: int = Field(40, ge=1, le=1024, description="bands")
    fmin: float = Field(20.0, ge=0, description="Hz from which the first band rises")
    fmax: float | None = Field(None, gt=0, description="Hz at which the last band ends; null: half the sample rate")
    mel_scale: Literal["htk", "slaney"] = Field("htk", description="htk: as TensorFlow, torchaudio; slaney: as librosa")
    log_offset: float = Field(1e-6, gt=0, description="added to the power before its logarithm is taken")
    center: bool = Field(False, description="mirror half a frame at both ends, as torchaudio and librosa do by default")
    mean: float = Field(0.0, description="subtracted from samples or features")
    std: float = Field(1.0, gt=0, description="divides them after that")
    axes: Literal["frames_mels", "mels_frames"] = Field("frames_mels", description="order of a log_mel's axes")
    channel: Literal["auto", "none", "first", "last"] = Field(
        "auto", description="where an axis of 1 is put; auto: first of log_mel, none of samples"
    )
    calibration_size: int = Field(200, ge=0, description="examples drawn from train, by seed, to calibrate with")
    seed: int = Field(0, ge=0, lt=2**32, description="seed of every draw and split")

    @model_validator(mode="after")
    def _fits_together(self) -> SoundSettings:
        if (self.step is not None) != bool(self.state):
            raise ValueError("step and state belong together: set both, as in step: 512 and state: {state: stateN}")
        if self.step is not None and (self.features != "none" or self.samples % self.step):
            raise ValueError("with step, features is none and samples a multiple of step")
        if self.context and self.step is None:
            raise ValueError("context is put in front of a step: set step too")
        if self.features == "log_mel":
            if self.n_fft > self.samples:
                raise ValueError(f"n_fft is {self.n_fft} and an example has {self.samples} samples: lower n_fft")
            if not self.fmin < (self.fmax or self.sample_rate / 2) <= self.sample_rate / 2:
                raise ValueError(f"fmin, fmax: want 0 <= fmin < fmax <= {self.sample_rate / 2:g}, half the sample rate")
        return self

    @property
    def sound(self) -> Sound:
        """How a recording becomes the input, as recorded in every manifest."""
        names = set(Sound.model_fields) - {"fmax", "channel"}
        given = {name: getattr(self, name) for name in names}
        channel = self.channel if self.channel != "auto" else "first" if self.features == "log_mel" else "none"
        return Sound(**given, fmax=self.fmax or self.sample_rate / 2, channel=channel)

    def signature(self, classes: tuple[str, ...], task: str) -> Signature:
        """One float32 input of samples or features, and the constants."""
        how = self.sound
        shape: tuple[int, ...] = (self.samples,)
        if how.step is not None:
            shape = (self.samples // how.step, how.context + how.step)
        elif how.features == "log_mel":
            length = self.samples + (2 * (how.n_fft // 2) if how.center else 0)
            frames = 1 + (length - how.n_fft) // how.hop
            shape = (frames, how.n_mels) if how.axes == "frames_mels" else (how.n_mels, frames)
        if how.step is None and how.channel != "none":
            shape = (1, *shape) if how.channel == "first" else (*shape, 1)
        constants = [
            Tensor(name=name, dtype="int64" if isinstance(value, int) else "float32", shape=())
            for name, value in self.constants.items()
        ]
        return Signature(
            inputs=(Tensor(name=self.input, shape=shape), *constants),
            classes=classes,
            task=task,
            state=self.state,
            steps=None if how.step is None else shape[0],
            sound=how,
        )
