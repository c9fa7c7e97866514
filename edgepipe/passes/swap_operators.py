"""Replace what has no int8 kernel."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, Literal

from pydantic import Field

from edgepipe.contract import Job, Pass, Split
from edgepipe.contract.artifact import Artifact, Kind
from edgepipe.errors import PassError


class SwapOperators(Pass):
    """SiLU, HardSwish and their like become ReLU6 or ReLU, squeeze-excite blocks are taken out.

    Both stand in the way of int8: neither has an integer kernel, so each costs a way to float and back. Accuracy
    drops until `distill` or `train` recovers it; `refit_examples` wins back a part of it without training.
    Sources: Efficientnet-lite (Liu, TensorFlow blog, 2020); He et al., ICCV 2017, arXiv:1707.06168.
    """

    reads: ClassVar[Kind] = Kind.TORCH
    writes: ClassVar[Kind] = Kind.TORCH
    data: ClassVar[tuple[Split, ...]] = (Split.TRAIN,)  # with refit_examples only
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "safetensors")

    activations: Literal["relu6", "relu", "keep"] = Field("relu6", description="what smooth activations become")
    squeeze_excite: Literal["remove", "keep"] = Field("remove", description="what happens to squeeze-excite blocks")
    refit_examples: int = Field(
        0,
        ge=0,
        description="train examples, without labels, on which the layers behind a replaced operator are fitted to what "
        "they answered before; 1000 are enough; 0: none",
    )

    def apply(self, model: Artifact, job: Job) -> Artifact:
        from edgepipe.pruning.refit import fit_to_parent
        from edgepipe.torch import artifact as torch_artifact
        from edgepipe.torch import swap

        network = torch_artifact.build(model)
        swaps = swap.plan(
            network,
            activation=None if self.activations == "keep" else self.activations,
            gates=self.squeeze_excite == "remove",
        )
        if not swaps:
            raise PassError(
                f"passes.{job.label}: nothing to replace: the network has no smooth activation module and no "
                "squeeze-excite block that these settings touch. Remove this step"
            )
        masked = torch_artifact.masked_modules(network)
        swap.apply(network, swaps)
        if self.refit_examples:
            fit_to_parent(
                network,
                torch_artifact.build(model),
                {},
                model,
                job,
                examples=self.refit_examples,
                skip=masked,
                progress=job.progress,
            )
        architecture = torch_artifact.read_architecture(model)
        architecture["edits"].append({"op": "swap", "modules": swaps})
        job.facts["swapped"] = dict(Counter(swaps.values()))
        return torch_artifact.write(network, architecture, job.out, model.signature)

    def splits(self) -> tuple[Split, ...]:
        return (Split.TRAIN,) if self.refit_examples else ()
