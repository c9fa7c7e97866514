"""How to train: the settings that every training pass shares; imports pydantic only."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from edgepipe.contract.settings import Settings
from edgepipe.targets.host import bf16_features, fingerprint

GRAD_NORM = "gradients of a greater norm, over all weights, are scaled down to it; null: none"


class TrainingSettings(Settings):
    """How to train: length, optimizer, schedule, regularization, precision."""

    epochs: int = Field(ge=1, description="passes over the train split")
    epoch_share: float = Field(1.0, gt=0, le=1, description="share of the train split that an epoch sees, drawn anew")
    minutes: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="time budget: epochs and epoch_share become what fits here, and are recorded; null: none",
    )
    batch_size: int = Field(32, ge=2, description="examples per step")
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="sgd with Nesterov momentum, or adamw")
    lr: float = Field(gt=0, description="largest learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of sgd")
    weight_decay: float = Field(5e-4, ge=0, description="decay of weights; biases and norms are spared")
    schedule: Literal["one_cycle", "cosine", "constant"] = Field(
        "one_cycle", description="learning rate over the steps"
    )
    max_grad_norm: float | None = Field(None, gt=0, description=GRAD_NORM)
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="share of the label spread over all classes")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the averaged weights that are kept; null: none")
    validation_share: float = Field(
        0.0, ge=0, le=0.5, description="share of train held out by class and judged after every epoch"
    )
    patience: int | None = Field(
        None, ge=1, description="stop after so many epochs without a lower validation loss, keep the best; null: never"
    )
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="auto: bf16 where the processor has it and the network has no depthwise convolution"
    )
    crop_padding: int = Field(2, ge=0, le=4096, description="pixels that a picture may be shifted by; 0: none")
    horizontal_flip: bool = Field(False, description="mirror half of the pictures; wrong for digits and text")
    dropout: bool = Field(
        True, description="drop values and branches at random, as the network says (dropout, stochastic depth)"
    )
    freeze_batchnorm: bool = Field(
        False,
        description="batch norm keeps its statistics and normalizes by them, as in evaluation; wants a low rate",
    )
    channels_last: bool = Field(True, description="memory layout; faster convolutions on most processors")

    def local(self) -> dict[str, Any]:
        """What of this machine the trained weights depend on; part of the cache key."""

        found: dict[str, Any] = {"bf16": bf16_features()} if self.precision == "auto" else {}
        if self.minutes is not None:  # how many epochs fit
            found["machine"] = fingerprint()
        return found

    @model_validator(mode="after")
    def _patience_needs_validation(self) -> TrainingSettings:
        if self.patience is not None and self.validation_share == 0:
            raise ValueError("patience needs examples to judge by: set validation_share, as in 0.1")
        return self
