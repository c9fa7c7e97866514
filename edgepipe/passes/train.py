"""Train a network."""

from __future__ import annotations

from pydantic import Field

from edgepipe.contract import Job
from edgepipe.contract.artifact import Artifact
from edgepipe.training.training_pass import TrainingPass


class Train(TrainingPass):
    """Train on the train split with the labels.

    Source: Smith and Topin, Super-Convergence (one-cycle), 2017, arXiv:1708.07120.
    """

    epochs: int = Field(15, ge=1, description="passes over the train split")
    lr: float = Field(0.05, gt=0, description="largest learning rate")

    def apply(self, model: Artifact, job: Job) -> Artifact:
        return self._train(model, job)
