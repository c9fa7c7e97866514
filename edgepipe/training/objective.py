"""What training minimizes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgepipe.errors import DataError, ModelError


class Objective:
    """Cross-entropy with the labels."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.supervised = nn.CrossEntropyLoss(label_smoothing=label_smoothing)

    def prepare(self, network: nn.Module, fabric: Any) -> None:
        """Called once before training, with the bare network and what knows device and precision."""

    def finish(self) -> None:
        """Called once after training, to take back what `prepare` did to the network."""

    def __call__(
        self, model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(scalar loss, float logits (n, classes)) of one batch."""
        logits = answer(model(inputs))
        fits(labels, logits)
        return self.supervised(logits, labels), logits


def answer(output: Any) -> torch.Tensor:
    """Float logits, (n, classes).

    Raises:
        ModelError: in training mode the network returns something else than a tensor.
    """
    if not isinstance(output, torch.Tensor):
        raise ModelError(
            f"in training mode the network returns {type(output).__name__}, not one tensor as in evaluation mode: let "
            "its forward return the answers alone, in both"
        )
    return output.float()


def fits(labels: torch.Tensor, logits: torch.Tensor) -> None:
    """Refuse labels that the network has no output for.

    Raises:
        DataError: a label is as large as the number of classes, or larger.
    """
    largest = int(labels.max())
    if largest >= logits.shape[1]:
        raise DataError(
            f"a label is {largest}, but the network has {logits.shape[1]} classes: correct the labels, which "
            "count from 0, or give it more (of model=torchvision by model.num_classes, of model=python by "
            "model.kwargs, else where the model was made)"
        )
