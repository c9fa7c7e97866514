"""What every pass that trains is made of."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from edgepipe.contract import Job, Pass, Split
from edgepipe.contract.artifact import Artifact, Kind
from edgepipe.training.settings import TrainingSettings


class TrainingPass(TrainingSettings, Pass):
    """A pass that trains on the train split; resumes from its last finished epoch after a kill."""

    reads: ClassVar[Kind] = Kind.TORCH
    writes: ClassVar[Kind] = Kind.TORCH
    data: ClassVar[tuple[Split, ...]] = (Split.TRAIN,)
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "lightning-fabric", "safetensors")

    def learns(self) -> bool:
        return True

    @abstractmethod
    def apply(self, model: Artifact, job: Job) -> Artifact:
        """Train."""

    def _train(self, model: Artifact, job: Job, objective: Any = None) -> Artifact:
        # They import torch, and a recipe is read without it.
        from edgepipe.torch import artifact as torch_artifact
        from edgepipe.training.training import train

        network = torch_artifact.build(model)
        train(network, self, job, model.signature, objective)
        return torch_artifact.write(network, torch_artifact.read_architecture(model), job.out, model.signature)
