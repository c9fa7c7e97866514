"""Set single weights to zero."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from edgepipe.artifact import Artifact, Kind
from edgepipe.contract import Job, Pass
from edgepipe.errors import PassError


class PruneWeights(Pass):
    """Mask the weights of smallest magnitude; the masks survive a following finetune.

    Shapes stay, so no runtime gets faster and only compressed bytes shrink.
    Source: Han et al., Learning both Weights and Connections, NeurIPS 2015, arXiv:1506.02626.
    """

    reads: ClassVar[Kind] = Kind.TORCH
    writes: ClassVar[Kind] = Kind.TORCH
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "safetensors")

    amount: float = Field(ge=0, lt=1, description="share of the weights set to zero, in [0, 1)")
    scope: Literal["global", "layer"] = Field("global", description="rank all weights together, or within each layer")
    exclude: tuple[str, ...] = Field((), description="names of modules that stay whole")

    def apply(self, model: Artifact, job: Job) -> Artifact:
        import torch
        from torch.nn.utils import prune

        from edgepipe.models import torch_artifact
        from edgepipe.registry import did_you_mean

        architecture = torch_artifact.read_architecture(model)
        network = torch_artifact.build(model)
        layers = {
            name: module
            for name, module in network.named_modules()
            if isinstance(module, (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Linear))
            # An attention layer reads this weight without calling its module, so no mask would hold in training.
            and type(module).__name__ != "NonDynamicallyQuantizableLinear"
        }
        for name in self.exclude:
            if name not in layers:
                hint = did_you_mean(name, layers)
                raise PassError(f"passes.{job.label}.exclude: the network has no layer '{name}'.{hint}")
        chosen = [(module, "weight") for name, module in layers.items() if name not in self.exclude]
        if not chosen:
            raise PassError(f"passes.{job.label}: there is no convolution or linear layer to prune")
        if self.amount > 0:
            if self.scope == "global":
                prune.global_unstructured(chosen, pruning_method=prune.L1Unstructured, amount=self.amount)
            else:
                for module, _ in chosen:
                    prune.l1_unstructured(module, "weight", amount=self.amount)  # type: ignore[no-untyped-call]
        masked = torch_artifact.masked_modules(network)
        architecture["edits"].append({"op": "mask", "modules": masked})
        zeros = sum(int((module.weight == 0).sum()) for module, _ in chosen)
        total = sum(module.weight.numel() for module, _ in chosen)
        job.facts["zero_share"] = zeros / total
        return torch_artifact.write(network, architecture, job.out, model.signature)
