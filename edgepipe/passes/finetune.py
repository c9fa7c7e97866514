"""Recover what a change of the network cost."""

from __future__ import annotations

from pydantic import Field

from edgepipe.contract import Job
from edgepipe.contract.artifact import Artifact
from edgepipe.training.settings import GRAD_NORM
from edgepipe.training.training_pass import TrainingPass


class Finetune(TrainingPass):
    """Train on, gently, after a pass that changed the network; pruned weights stay zero.

    Source: Renda et al., Comparing Rewinding and Fine-tuning, ICLR 2020, arXiv:2003.02389.
    """

    epochs: int = Field(8, ge=1, description="passes over the train split")
    lr: float = Field(0.02, gt=0, description="largest learning rate")
    # One step along a rare, long gradient can cost a trained network more than an epoch gives back.
    max_grad_norm: float | None = Field(1.0, gt=0, description=GRAD_NORM)

    def apply(self, model: Artifact, job: Job) -> Artifact:
        return self._train(model, job)
