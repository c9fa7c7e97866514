"""What each layer, or each group of layers that lose channels together, costs when it alone is pruned."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from edgepipe.contract import Job
from edgepipe.contract.artifact import Artifact
from edgepipe.records.sensitivity import LayerEffect

if TYPE_CHECKING:
    from edgepipe.passes.prune_channels import PruneChannels
    from edgepipe.passes.prune_weights import PruneWeights
    from edgepipe.quant.study.answers import Examples, Floats


def pruned_effects(
    settings: PruneChannels | PruneWeights, model: Artifact, job: Job, examples: Examples, ratio: float
) -> tuple[dict[str, float], list[LayerEffect]]:
    """What the network reaches, by measure, and each group pruned alone by the recipe's own pass, the worst first.

    Args:
        settings: of the recipe's step; what it excludes is not looked at.
        model: what comes into the step.
        job: its `out` is used as scratch space.
        ratio: share of a group's channels, or of a layer's weights, in (0, 1).
    """
    import numpy as np
    import torch

    from edgepipe.pruning import channels
    from edgepipe.quant.study.answers import collect, effect
    from edgepipe.quant.study.sensitivity import worst_first
    from edgepipe.torch import artifact as torch_artifact
    from edgepipe.torch.lower import answers_of

    network = torch_artifact.build(model).eval()
    modules = dict(network.named_modules())
    macs = channels.count(network, torch.zeros((1, *model.signature.input_shape)))[0]

    def answered(artifact: Artifact) -> Floats:
        pruned = torch_artifact.build(artifact).eval()
        assert isinstance(examples.rows, np.ndarray)  # a torch network has one input
        return collect(lambda rows: answers_of(pruned, rows), examples.rows)

    wanted = answered(model)
    groups = settings.prunable(model, job.label)
    every = {name for group in groups for name in group} | set(settings.exclude)
    groups = [group for group in groups if not set(group) & set(settings.exclude)]
    found = []
    for number, group in enumerate(groups):
        job.progress(0.5 + 0.5 * number / len(groups), f"{group[0]} pruned alone")
        out = job.out / f"pruned{number}"
        out.mkdir()
        own = replace(job, out=out, facts={}, progress=lambda _share, _text: None)
        result = settings.alone(ratio, sorted(every - set(group))).apply(model, own)
        left = own.facts.get("macs_left_share", 1.0)
        assert isinstance(left, float)
        found.append((group, effect(answered(result), wanted, examples), model.size_bytes - result.size_bytes, left))
        shutil.rmtree(out)
    total = sum(measured.error for _, measured, _, _ in found) or 1.0
    records = [
        LayerEffect(
            name=", ".join(group),
            operator=type(modules[group[0]]).__name__,
            weight_shape=list(modules[group[0]].weight.shape),
            macs=round((1 - left) * macs),
            sqnr_db=measured.sqnr_db,
            error_share=measured.error / total,
            alike=measured.alike,
            quality=measured.quality,
            float_bytes=saved,
        )
        for group, measured, saved, left in found
    ]
    return effect(wanted, wanted, examples).quality, worst_first(records)
