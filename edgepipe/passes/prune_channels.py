"""Remove whole channels."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from edgepipe.artifact import Artifact, Kind
from edgepipe.contract import Job, Pass
from edgepipe.errors import PassError


class PruneChannels(Pass):
    """Remove whole channels, smallest group norm first, and shrink every layer that depends on them.

    The graph gets smaller, so every runtime gets faster; accuracy drops until `finetune` recovers it.
    Source: Fang et al., DepGraph, CVPR 2023, arXiv:2301.12900.
    """

    reads: ClassVar[Kind] = Kind.TORCH
    writes: ClassVar[Kind] = Kind.TORCH
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "torch-pruning", "safetensors")

    ratio: float = Field(ge=0, lt=1, description="share of channels removed, in [0, 1)")
    importance: Literal["l1", "l2"] = Field("l2", description="norm that ranks the channels of a group")
    scope: Literal["uniform", "global"] = Field(
        "uniform", description="the same share everywhere, or one ranking of all"
    )
    round_to: int = Field(16, ge=1, description="kept channels are a multiple of this; 16 keeps int8 kernels full")
    exclude: tuple[str, ...] = Field((), description="names of modules whose outputs stay; the classifier always does")

    def apply(self, model: Artifact, job: Job) -> Artifact:
        from edgepipe.models import channels, torch_artifact
        from edgepipe.registry import did_you_mean

        architecture = torch_artifact.read_architecture(model)
        network = torch_artifact.build(model)
        modules = dict(network.named_modules())
        for name in self.exclude:
            if name not in modules:
                hint = did_you_mean(name, [key for key in modules if key])
                raise PassError(f"passes.{job.label}.exclude: the network has no module '{name}'.{hint}")
        if self.ratio == 0:
            return torch_artifact.write(network, architecture, job.out, model.signature)
        masked = torch_artifact.masked_modules(network)
        if masked:
            torch_artifact.bake_masks(network)
            architecture["edits"].append({"op": "unmask"})
        before = torch_artifact.integer_attributes(network)
        facts: dict[str, Any] = channels.remove(
            network,
            model.signature.input_shape,
            ratio=self.ratio,
            norm=1 if self.importance == "l1" else 2,
            across=self.scope == "global",
            round_to=self.round_to,
            keep=[modules[name] for name in self.exclude],
            label=job.label,
            progress=job.progress,
        )
        architecture["edits"].append(torch_artifact.resize_edit(before, torch_artifact.integer_attributes(network)))
        if masked:
            architecture["edits"].append(channels.mask_zeros(network, masked))
        job.facts.update(facts)
        result = torch_artifact.write(network, architecture, job.out, model.signature)
        channels.check_reload(network, result, label=job.label)
        return result
