"""Compute batch-norm statistics again."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from edgepipe.contract import Job, Pass, Split
from edgepipe.contract.artifact import Artifact, Kind
from edgepipe.errors import PassError


class ReestimateBatchNorm(Pass):
    """Compute the running mean and variance of every batch norm anew, without training.

    After pruning, the stored statistics belong to a network that is gone; this wins back a part of
    the accuracy in seconds. Source: Li et al., EagleEye, ECCV 2020, arXiv:2007.02491.
    """

    reads: ClassVar[Kind] = Kind.TORCH
    writes: ClassVar[Kind] = Kind.TORCH
    data: ClassVar[tuple[Split, ...]] = (Split.TRAIN,)
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "safetensors")

    examples: int = Field(1000, ge=2, description="train examples that the statistics are taken from, at most")
    batch_size: int = Field(64, ge=2, description="examples per batch; statistics are averaged over batches")

    def apply(self, model: Artifact, job: Job) -> Artifact:
        import torch

        from edgepipe.torch import artifact as torch_artifact

        network = torch_artifact.build(model)
        norms = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
        if not norms:
            raise PassError(f"passes.{job.label}: the network has no batch norm. Remove this step")
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        count = min(self.examples, job.data.count(Split.TRAIN))
        generator = torch.Generator().manual_seed(job.seed)
        order = torch.randperm(job.data.count(Split.TRAIN), generator=generator)[:count].tolist()
        seen = used = 0
        with torch.no_grad():
            for batch in job.data.batches(Split.TRAIN, min(self.batch_size, count), order):
                if len(batch.only) > 1:  # the variance of one example is nothing
                    used += len(batch.only)
                    for norm in norms:  # a plain average over all examples, whatever the size of the last batch
                        norm.momentum = len(batch.only) / used
                    network(torch.from_numpy(batch.only))
                seen += len(batch.only)
                job.progress(seen / count, "statistics")
        job.facts["examples"] = seen
        return torch_artifact.write(network, torch_artifact.read_architecture(model), job.out, model.signature)
