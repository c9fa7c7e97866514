"""What training minimizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from edgepipe.errors import DataError, ModelError

if TYPE_CHECKING:
    from edgepipe.contract import Task


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

    def right(self, outputs: Any, labels: torch.Tensor) -> int | None:
        """How many answers are right; None: answers are not right or wrong."""
        return int((outputs.argmax(1) == labels).sum())

    def judged(self, outputs: Any, labels: torch.Tensor) -> float:
        """Loss of examples that are held out, their sum; `outputs` as the network gave them."""
        return float(nn.functional.cross_entropy(outputs.float(), labels, reduction="sum"))


class TaskObjective(Objective):
    """The loss of a task whose examples have not one class each."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def __call__(self, model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Any]:
        outputs = in_float32(model(inputs))
        loss = self.task.loss(outputs, labels)
        if not isinstance(loss, torch.Tensor) or loss.shape != ():
            raise ModelError(f"task {type(self.task).__name__}: loss() gave no scalar tensor: a defect of the task")
        return loss, outputs

    def right(self, outputs: Any, labels: torch.Tensor) -> int | None:
        del outputs, labels
        return None

    def judged(self, outputs: Any, labels: torch.Tensor) -> float:
        return float(self.task.loss(in_float32(outputs), labels)) * len(labels)


def in_float32(outputs: Any) -> Any:
    """What a network returned, every tensor of it in float32, as losses want."""
    if isinstance(outputs, torch.Tensor):
        return outputs.float() if outputs.is_floating_point() else outputs
    if isinstance(outputs, dict):
        return {name: in_float32(value) for name, value in outputs.items()}
    if isinstance(outputs, (tuple, list)):
        return tuple(in_float32(value) for value in outputs)
    return outputs


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
