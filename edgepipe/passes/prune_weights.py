"""Set single weights to zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from edgepipe.base.suggest import did_you_mean
from edgepipe.contract import Job, Pass, Split
from edgepipe.contract.artifact import Artifact, Kind
from edgepipe.contract.target import Target
from edgepipe.contract.traits import MASKED, SPARSE
from edgepipe.errors import PassError
from edgepipe.training.recovery import Recovery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class PruneWeights(Pass):
    """Mask the weights of smallest magnitude; the masks survive a following finetune.

    Shapes stay, so no runtime gets faster and only compressed bytes shrink. With several steps the share grows fast
    first and slowly at the end, and `recover` trains after each.
    Sources: Han et al., NeurIPS 2015, arXiv:1506.02626; Zhu and Gupta, To prune or not to prune, 2017,
    arXiv:1710.01878 (schedule); Mishra et al., Accelerating Sparse Deep Neural Networks, 2021, arXiv:2104.08378 (2:4).
    """

    reads: ClassVar[Kind] = Kind.TORCH
    writes: ClassVar[Kind] = Kind.TORCH
    data: ClassVar[tuple[Split, ...]] = (Split.TRAIN,)  # with recover only
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "lightning-fabric", "safetensors")
    provides: ClassVar[tuple[str, ...]] = (MASKED, SPARSE)

    amount: float | None = Field(None, ge=0, lt=1, description="share of the weights set to zero, in [0, 1)")
    pattern: tuple[int, int] | None = Field(
        None, description="[2, 4]: the 2 largest of every 4 weights along the input channels stay, instead of amount"
    )
    steps: int = Field(1, ge=1, le=100, description="cuts on the way to the amount")
    recover: Recovery | None = Field(None, description="training after each cut, masks kept; null: none")
    scope: Literal["global", "layer"] = Field("global", description="rank all weights together, or within each layer")
    exclude: tuple[str, ...] = Field((), description="names of modules that stay whole")

    def on_target(self, target: Target) -> list[str]:
        del target
        return ["zeros in place save neither time nor bytes in ONNX Runtime; prune_channels does"]

    def apply(self, model: Artifact, job: Job) -> Artifact:
        from edgepipe.torch import artifact as torch_artifact

        architecture = torch_artifact.read_architecture(model)
        network = torch_artifact.build(model)
        layers = self._layers(network)
        for name in self.exclude:
            if name not in layers:
                hint = did_you_mean(name, layers)
                raise PassError(f"passes.{job.label}.exclude: the network has no layer '{name}'.{hint}")
        chosen = [(module, "weight") for name, module in layers.items() if name not in self.exclude]
        if not chosen:
            raise PassError(f"passes.{job.label}: there is no convolution or linear layer to prune")
        for number in range(self.steps):
            if self.pattern is not None:
                job.facts["without_pattern"] = [
                    name for name, module in layers.items() if module in dict(chosen) and not self._fold(module)
                ]
            elif self.amount:
                # Cubic: most weights go while many are left to take over.
                share = self.amount * (1 - (1 - (number + 1) / self.steps) ** 3)
                self._cut(chosen, share)
            if self.recover is not None:
                self.recover.run(network, model, job, number, self.steps)
                for module, _ in chosen:  # training changed weight_orig; the masked weight follows in a forward only
                    _apply_mask(module)
        masked = torch_artifact.masked_modules(network)
        architecture["edits"].append({"op": "mask", "modules": masked})
        zeros = sum(int((module.weight == 0).sum()) for module, _ in chosen)
        total = sum(module.weight.numel() for module, _ in chosen)
        job.facts["zero_share"] = zeros / total
        return torch_artifact.write(network, architecture, job.out, model.signature)

    def prunable(self, model: Artifact, label: str) -> list[list[str]]:
        """Names of the layers that lose weights, each in a list of its own."""
        from edgepipe.torch import artifact as torch_artifact

        del label
        return [[name] for name in self._layers(torch_artifact.build(model))]

    def alone(self, ratio: float, exclude: Sequence[str]) -> PruneWeights:
        """The same settings for one cut of what is not excluded."""
        once = {"pattern": None, "steps": 1, "recover": None, "scope": "layer"}
        return self.model_copy(update={**once, "amount": ratio, "exclude": tuple(exclude)})

    def _layers(self, network: Any) -> dict[str, Any]:
        import torch

        return {
            name: module
            for name, module in network.named_modules()
            if isinstance(module, (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Linear))
            # An attention layer reads this weight without calling its module, so no mask would hold in training.
            and type(module).__name__ != "NonDynamicallyQuantizableLinear"
        }

    @model_validator(mode="after")
    def _one_of_both(self) -> PruneWeights:
        if (self.amount is None) == (self.pattern is None):
            raise ValueError("set either amount, as in 0.5, or pattern, as in [2, 4]")
        if self.pattern is not None and not 0 < self.pattern[0] < self.pattern[1]:
            raise ValueError(f"pattern keeps N of every M weights, 0 < N < M; found {list(self.pattern)}")
        if self.pattern is not None and self.steps > 1:
            raise ValueError("a pattern is cut at once: set steps to 1")
        return self

    def splits(self) -> tuple[Split, ...]:
        return (Split.TRAIN,) if self.recover is not None else ()

    def learns(self) -> bool:
        return self.recover is not None

    def _cut(self, chosen: Sequence[tuple[Any, str]], share: float) -> None:
        """Mask so that `share` of all weights is zero, those masked before included."""
        import torch

        scores = [module.weight.detach().abs() for module, _ in chosen]
        everything = torch.cat([item.flatten() for item in scores])
        count = round(share * len(everything))
        if self.scope == "global":
            gone = torch.zeros(len(everything), dtype=torch.bool)
            gone[torch.topk(everything, count, largest=False).indices] = True
            parts = list(torch.split(gone, [item.numel() for item in scores]))
        else:
            parts = []
            for item in scores:
                part = torch.zeros(item.numel(), dtype=torch.bool)
                part[torch.topk(item.flatten(), round(share * item.numel()), largest=False).indices] = True
                parts.append(part)
        for (module, _), item, part in zip(chosen, scores, parts, strict=True):
            self._mask(module, ~part.view_as(item))

    def _mask(self, module: Any, kept: Tensor) -> None:
        from torch.nn.utils import prune

        if prune.is_pruned(module):  # one mask at a time: the new one holds the old
            kept = kept & (module.weight_mask != 0)
            prune.remove(module, "weight")  # type: ignore[no-untyped-call]
        prune.custom_from_mask(module, "weight", kept.float())  # type: ignore[no-untyped-call]

    def _fold(self, module: Any) -> bool:
        """Mask all but the N largest of every M along the input channels; whether their number allows it."""
        import torch

        assert self.pattern is not None
        kept, of = self.pattern
        weight = module.weight.detach()
        if weight.shape[1] % of:
            return False
        groups = weight.movedim(1, -1).reshape(-1, of)
        mask = torch.zeros_like(groups, dtype=torch.bool)
        mask.scatter_(1, groups.abs().topk(kept, dim=1).indices, True)
        self._mask(module, mask.reshape(weight.movedim(1, -1).shape).movedim(-1, 1))
        return True


def _apply_mask(module: Any) -> None:
    if hasattr(module, "weight_mask"):
        module.weight = module.weight_orig.detach() * module.weight_mask
