"""Remove whole channels."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from edgepipe.base.suggest import did_you_mean
from edgepipe.contract import Job, Pass, Split
from edgepipe.contract.artifact import Artifact, Kind
from edgepipe.contract.traits import LATENCY_TABLE
from edgepipe.errors import ModelError, PassError
from edgepipe.training.recovery import Recovery

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgepipe.pruning.allocation import LatencyTable


class PruneChannels(Pass):
    """Remove whole channels, smallest group norm first, and shrink every layer that depends on them.

    The graph gets smaller, so every runtime gets faster; accuracy drops until `finetune` recovers it.
    `refit_examples` wins back a part of it without training. With several steps the cuts grow towards the ratio, and
    `recover` trains after each.
    Sources: Fang et al., DepGraph, CVPR 2023, arXiv:2301.12900; Molchanov et al., CVPR 2019, arXiv:1906.10771; He
    et al., ICCV 2017, arXiv:1707.06168.
    """

    reads: ClassVar[Kind] = Kind.TORCH
    writes: ClassVar[Kind] = Kind.TORCH
    data: ClassVar[tuple[Split, ...]] = (Split.TRAIN,)  # not where norms alone decide
    libraries: ClassVar[tuple[str, ...]] = (
        "torch",
        "torchvision",
        "torch-pruning",
        "lightning-fabric",
        "safetensors",
    )

    ratio: float | None = Field(None, ge=0, lt=1, description="share of channels removed, in [0, 1)")
    ratios: dict[str, Annotated[float, Field(ge=0, lt=1)]] = Field(
        {},
        description="shares for the layers in a module, in place of ratio, as in {layer3: 0.6}; layers that lose "
        "channels together lose the smallest of theirs",
    )
    importance: Literal["l1", "l2", "taylor"] = Field(
        "l2", description="what ranks the channels of a group: a norm, or the change of the loss on train examples"
    )
    importance_examples: int = Field(
        512, ge=2, description="train examples that importance=taylor and scope=latency look at, at most"
    )
    steps: int = Field(1, ge=1, le=100, description="cuts on the way to the ratio")
    refit_examples: int = Field(
        0,
        ge=0,
        description="train examples, without labels, on which after each cut the layers are fitted to what they "
        "answered before it; 1000 win back most of the accuracy in minutes; 0: none",
    )
    recover: Recovery | None = Field(None, description="training after each cut; null: none")
    scope: Literal["uniform", "global", "latency"] = Field(
        "uniform",
        description="the same share everywhere, one ranking of all, or widths that move the answers least for the time "
        "they save, by a table of measured latencies",
    )
    times_faster: float | None = Field(
        None, gt=1, description="scope=latency: how many times faster the layers of the table become, in place of ratio"
    )
    round_to: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="kept channels are a multiple of this; 16 keeps int8 kernels full; auto: 16, less for groups of "
        "fewer than 64 channels, and none of fewer than 16",
    )
    exclude: tuple[str, ...] = Field((), description="names of modules whose outputs stay; the classifier always does")

    def needs(self) -> dict[str, str]:
        return {LATENCY_TABLE: "scope=latency"} if self.scope == "latency" else {}

    def apply(self, model: Artifact, job: Job) -> Artifact:
        import torch

        from edgepipe.pruning import allocation, channels, dependencies
        from edgepipe.pruning.cutting import Latency, Wanted
        from edgepipe.torch import artifact as torch_artifact

        architecture = torch_artifact.read_architecture(model)
        network = torch_artifact.build(model)
        modules = dict(network.named_modules())
        for name in self.exclude:
            if name not in modules:
                hint = did_you_mean(name, [key for key in modules if key])
                raise PassError(f"passes.{job.label}.exclude: the network has no module '{name}'.{hint}")
        for name in self.ratios:
            if name not in modules:
                hint = did_you_mean(name, [key for key in modules if key])
                raise PassError(f"passes.{job.label}.ratios: the network has no module '{name}'.{hint}")
        if self.ratio == 0 and not any(self.ratios.values()):
            return torch_artifact.write(network, architecture, job.out, model.signature)
        masked = torch_artifact.masked_modules(network)
        if masked:
            torch_artifact.bake_masks(network)
            architecture["edits"].append({"op": "unmask"})
        dependencies.settle(network, torch.zeros((1, *model.signature.input_shape)))
        before = torch_artifact.integer_attributes(network)
        table = self._table(model, job.label)
        shapes = allocation.layer_shapes(network)
        ratio = self.ratio or 0.0
        widths: dict[str, int] = {}
        facts: dict[str, Any] = {}
        uncut: dict[str, str] = {}
        left = {"macs_left_share": 1.0, "parameters_left_share": 1.0}
        for number in range(self.steps):
            cumulated = self._cumulated(ratio, number)
            each = 1 - (1 - ratio) ** (1 / self.steps)
            parent = copy.deepcopy(network) if self.refit_examples else None
            outputs: dict[str, list[int]] = {}
            times = (self.times_faster or 1.0) ** ((number + 1) / self.steps)
            weigh = partial(self._weigh, network, model, job, number)
            facts = channels.remove(
                network,
                model.signature.input_shape,
                Wanted(
                    ratio=each if self.scope == "global" else cumulated,
                    importance=self._importance(network, model, job),
                    across=self.scope == "global",
                    round_to=self.round_to,
                    keep=[modules[name] for name in self.exclude],
                    widths=widths,
                    latency=Latency(table, shapes, times, self.times_faster or 1.0, weigh) if table else None,
                    ratios={name: self._cumulated(share, number) for name, share in self.ratios.items()},
                ),
                label=job.label,
                progress=partial(self._progress, job, number),
                kept_outputs=outputs,
                real=self._few(model, job),
            )
            uncut |= facts.pop("left_uncut", {})
            if parent is not None:
                self._refit(network, parent, outputs, masked, model, job, number)
            left = {name: share * facts[name] for name, share in left.items()}
            if self.recover is not None:
                self.recover.run(network, model, job, number, self.steps)
        facts |= left
        if self.ratio is None or self.ratios:
            del facts["wanted_channel_share"]
        else:
            facts["wanted_channel_share"] = self.ratio
        now = dict(network.named_modules())
        if widths:
            kept = sum(now[name].weight.shape[0] for name in widths)
            facts["removed_channel_share"] = 1 - kept / sum(widths.values())
        architecture["edits"].append(torch_artifact.resize_edit(before, torch_artifact.integer_attributes(network)))
        if masked:
            architecture["edits"].append(channels.mask_zeros(network, masked))
        job.facts.update(facts)
        said = job.facts.get("notes")
        told = [channels.told(facts), *self._told_of_time(facts), *_told_of_uncut(uncut)]
        able = {name: width for name, width in widths.items() if name not in uncut}
        if able and not facts["removed_channel_share"]:
            told += self._told_of_nothing(able, job.label)
        job.facts["notes"] = [*told, *(said if isinstance(said, list) else ())]
        try:
            return torch_artifact.write(network, architecture, job.out, model.signature)
        except ModelError as error:
            raise PassError(f"passes.{job.label}: the pruned network cannot be written down: {error}") from error

    def _cumulated(self, ratio: float, number: int) -> float:
        """Share gone after a cut: equal shares of what is left, so that early cuts are not larger than late ones."""
        return 1 - float((1 - ratio) ** ((number + 1) / self.steps))

    @model_validator(mode="after")
    def _ratios_are_of_groups(self) -> PruneChannels:
        if self.ratios and self.scope != "uniform":
            raise ValueError(f"ratios need scope=uniform: scope={self.scope} chooses the shares itself")
        return self

    @model_validator(mode="after")
    def _ratio_or_time(self) -> PruneChannels:
        if (self.scope == "latency") != (self.times_faster is not None):
            raise ValueError("scope=latency and times_faster belong together: set both or neither")
        if (self.ratio is None) == (self.times_faster is None):
            raise ValueError("set ratio, as in 0.5, or with scope=latency times_faster, as in 3")
        return self

    def prunable(self, model: Artifact, label: str) -> list[list[str]]:
        """Names of the layers that lose channels together, a list for each group."""
        from edgepipe.pruning import channels
        from edgepipe.torch import artifact as torch_artifact

        network = torch_artifact.build(model)
        torch_artifact.bake_masks(network)
        return channels.coupled(network, model.signature.input_shape, label)

    def alone(self, ratio: float, exclude: Sequence[str]) -> PruneChannels:
        """The same settings for one cut of what is not excluded."""
        once: dict[str, Any] = {
            "scope": "uniform",
            "times_faster": None,
            "ratios": {},
            "steps": 1,
            "recover": None,
            "refit_examples": 0,
        }
        return self.model_copy(update={**once, "ratio": ratio, "exclude": tuple(exclude)})

    def _table(self, model: Artifact, label: str) -> LatencyTable | None:
        from edgepipe.pruning.allocation import TABLE_FILE, LatencyTable

        if self.scope != "latency":
            return None
        file = model.path / TABLE_FILE
        if not file.is_file():
            raise PassError(
                f"passes.{label}: scope=latency needs a table of latencies: put a step `pass: tabulate_latency` "
                "directly before this one"
            )
        return LatencyTable.model_validate_json(file.read_text(encoding="utf-8"))

    def splits(self) -> tuple[Split, ...]:
        looks = self.importance == "taylor" or self.scope == "latency"
        return (Split.TRAIN,) if looks or self.refit_examples or self.recover is not None else ()

    def learns(self) -> bool:
        return self.importance == "taylor" or self.recover is not None

    def one_class_only(self) -> bool:
        return self.importance == "taylor"  # of the cross-entropy

    def _told_of_time(self, facts: Mapping[str, Any]) -> Iterator[str]:
        """With scope=latency what the table says."""
        if self.times_faster is None:
            return
        before, after = facts["layers_milliseconds"]
        reached = before / after if after else 1.0
        yield f"by the table the layers are {reached:.2f}x faster"

    def _told_of_nothing(self, widths: Mapping[str, int], label: str) -> Iterator[str]:
        """Why a share of the channels became none at all, and what to set."""
        from edgepipe.pruning.cutting import kept_channels

        if self.times_faster is not None:
            return
        ratio = max([self.ratio or 0.0, *self.ratios.values()])
        name = max(widths, key=lambda layer: widths[layer])
        width = widths[name]
        left = {size: kept_channels(width, ratio, size) for size in (32, 16, 8, 4, 2, 1)}
        able = [size for size, channels in left.items() if channels < width]
        near = [size for size in able if abs(width - left[size] - ratio * width) <= 0.5 * ratio * width]
        finer = max(near) if near else 1 if 1 in able else None
        yield (
            f"no channel was removed: {ratio:.0%} of the {width} channels of '{name}', the widest that may be cut, "
            f"round to none with round_to={self.round_to}. Set "
            + (
                f"passes.{label}.round_to={finer}"
                if finer
                else f"passes.{label}.ratio above {0.5 / width:.3f}, and round_to=1"
            )
        )

    def _progress(self, job: Job, number: int, share: float, text: str) -> None:
        cut = (0.3 if self.recover else 1.0) * (0.1 if self.refit_examples else 1.0)
        job.progress((number + cut * share) / self.steps, text)

    def _refit(
        self,
        network: Any,
        parent: Any,
        kept: dict[str, list[int]],
        masked: list[str],
        model: Artifact,
        job: Job,
        number: int,
    ) -> None:
        from edgepipe.pruning.refit import fit_to_parent

        def progress(share: float, text: str) -> None:
            whole = 0.3 if self.recover else 1.0
            job.progress((number + whole * (0.1 + 0.9 * share)) / self.steps, text)

        fit_to_parent(network, parent, kept, model, job, examples=self.refit_examples, skip=masked, progress=progress)

    def _weigh(self, network: Any, model: Artifact, job: Job, number: int, groups: Any) -> list[list[float] | None]:
        from edgepipe.pruning.narrowing import costs
        from edgepipe.torch.unlabelled import unlabelled

        batches, count = unlabelled(job.data, model.signature, self.importance_examples, job.seed)
        job.facts["importance_examples"] = count
        fitted = self.refit_examples > 0
        progress = partial(self._progress, job, number)
        return costs(network, groups, batches(), fitted=fitted, seed=job.seed, progress=progress)

    def _few(self, model: Artifact, job: Job) -> Any:
        """Two real examples to compare a cut with, where the step reads data anyway."""
        from edgepipe.torch.unlabelled import unlabelled

        if not self.splits():
            return None
        return next(iter(unlabelled(job.data, model.signature, 2, job.seed)[0]()))

    def _importance(self, network: Any, model: Artifact, job: Job) -> Any:
        from edgepipe.pruning import channels
        from edgepipe.training.examples import Examples

        if self.importance != "taylor":
            return channels.magnitude(1 if self.importance == "l1" else 2)
        import torch

        examples = Examples(job.data, model.signature, keep=False)
        generator = torch.Generator().manual_seed(job.seed)
        order = torch.randperm(len(examples.rows), generator=generator)[: self.importance_examples].tolist()
        return channels.taylor(network, examples.batches(order, 64))


def _told_of_uncut(uncut: Mapping[str, str]) -> Iterator[str]:
    """Groups of channels that stay whole, and why: by their first layers, a few of them."""
    for name, why in list(uncut.items())[:5]:
        yield f"'{name}' and the layers that share its channels stay as wide as they are: {why}"
    if len(uncut) > 5:
        yield f"so do {len(uncut) - 5} more groups, of {', '.join(list(uncut)[5:])}"
