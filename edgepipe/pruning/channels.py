"""Removing groups of channels from a network, through torch-pruning's dependency graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
import torch_pruning as tp
from torch import nn
from torch.nn.utils import prune
from torchvision.models import VisionTransformer

from edgepipe.contract import Progress
from edgepipe.errors import PassError
from edgepipe.pruning import cutting, dependencies, silenced
from edgepipe.pruning.cutting import Wanted


def _classifiers(network: nn.Module, example: torch.Tensor) -> list[nn.Module]:
    """The layers whose output is the network's output: found by who returns as many values as the network."""
    last: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, _inputs, _output: last.append(module))
        for module in network.modules()
        if isinstance(module, dependencies.ROOTS)
    ]
    with torch.no_grad():
        network(example)
    for hook in hooks:
        hook.remove()
    return last[-1:]


def count(network: nn.Module, example: torch.Tensor) -> tuple[int, int]:
    """(multiply-accumulates, parameters) for one example."""
    dependencies.settle(network, example)  # or counting cannot copy it
    macs, parameters = tp.utils.count_ops_and_params(network, example)
    return int(macs), int(parameters)


def _refuse_own_convolutions(network: nn.Module, label: str) -> None:
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and type(module) is not nn.Conv2d and not dependencies.remade(module):
            raise PassError(
                f"passes.{label}: module '{name}' is a {type(module).__name__}, not exactly nn.Conv2d: what its own "
                "forward does cannot be followed. Replace it by nn.Conv2d, or prune no channels"
            )


def coupled(network: nn.Module, input_shape: tuple[int, ...], label: str) -> list[list[str]]:
    """Names of the layers that lose channels together, one list for each group that `remove` may cut.

    Raises:
        PassError: as `remove`.
    """
    order = {name: number for number, (name, _) in enumerate(network.named_modules())}
    example = torch.zeros((2, *input_shape))
    _refuse_own_convolutions(network, label)
    graph = dependencies.build(network, example, label)
    names = {id(module): name for name, module in network.named_modules()}
    groups = dependencies.groups(graph, names, _classifiers(network, example), {}, {})
    return [sorted(set(makes), key=order.__getitem__) for _, makes, _ in groups]


def remove(
    network: nn.Module,
    input_shape: tuple[int, ...],
    wanted: Wanted,
    *,
    label: str,
    progress: Progress,
    kept_outputs: dict[str, list[int]] | None = None,
    real: torch.Tensor | None = None,
) -> dict[str, Any]:
    """Remove channels in place; returns what was achieved.

    The cut network is compared with the uncut one whose removed channels are silent. Readers that see the channels in
    another order are given their own columns; a group that cannot be made right stays as wide as it is, and is named
    under `left_uncut`.

    Args:
        label: of the step, for messages.
        kept_outputs: filled with the indices of the outputs left, for every layer that loses some.
        real: examples, (n, *input_shape), to compare with beside random ones.

    Raises:
        PassError: the dependency graph cannot follow the network, nothing can be removed, or a module of `ratios`
            holds no layer that can lose channels.
    """
    example = torch.zeros((2, *input_shape))
    _refuse_own_convolutions(network, label)
    macs_before, parameters_before = _counted(network, example[:1], label)
    inputs = silenced.inputs_like(input_shape, real, network)
    barred: dict[str, str] = {}
    known: dict[tuple[str, str], list[list[int]]] = {}
    while True:
        before = silenced.Snapshot(network)
        graph = dependencies.build(network, example, label)
        cuttable = replace(wanted, keep=[*wanted.keep, *_classifiers(network, example)])
        done = cutting.cut(network, graph, cuttable, barred, known, label, progress)
        progress(0.8, "checking")
        if isinstance(network, VisionTransformer):
            network.hidden_dim = network.conv_proj.out_channels  # its forward keeps the width a second time
        fault = done.broken or silenced.difference(network, before, done.silent, inputs)
        if fault is None:
            break
        before.restore()
        found = {} if done.broken else cutting.owners(network, done, fault.layer, known, inputs)
        if found:
            known |= found
        elif not cutting.bar(done, fault, barred):
            raise PassError(f"passes.{label}: the pruned network answers otherwise: {fault.what}. Leave this step out")
    with torch.no_grad():
        answers = network(example)
    if isinstance(answers, torch.Tensor) and not bool(torch.isfinite(answers).all()):
        raise PassError(f"passes.{label}: the pruned network answers NaN: its weights were broken before")
    if kept_outputs is not None:
        kept_outputs.update({name: left.outs for name, left in done.silent.layers.items() if left.outs is not None})
    macs, parameters = count(network, example[:1])
    facts: dict[str, Any] = {
        **done.found,
        "wanted_channel_share": wanted.ratio,
        "removed_channel_share": done.removed / done.wide,
        "macs_left_share": macs / macs_before,
        "parameters_left_share": parameters / parameters_before,
    }
    uncut = {name: why for name, why in barred.items() if why not in ("", dependencies.IN_GROUPS)}
    return facts | ({"left_uncut": uncut} if uncut else {})


def _counted(network: nn.Module, example: torch.Tensor, label: str) -> tuple[int, int]:
    try:
        return count(network, example)
    except Exception as error:
        raise PassError(
            f"passes.{label}: the work of the network cannot be counted ({type(error).__name__}: {error}). "
            "Leave this step out"
        ) from error


def told(facts: dict[str, Any]) -> str:
    """What was achieved, in a sentence: rounding to whole multiples may have changed the share asked for."""
    wanted = facts.get("wanted_channel_share")
    asked = "" if wanted is None else f" ({wanted:.0%} asked for)"
    return (
        f"{facts['removed_channel_share']:.0%} of the channels removed{asked}; {facts['macs_left_share']:.0%} of the "
        f"multiply-accumulates and {facts['parameters_left_share']:.0%} of the parameters are left"
    )


def magnitude(norm: int) -> Any:
    """Scores by the norm of a group's weights."""
    return tp.importance.MagnitudeImportance(p=norm)


def taylor(network: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Any:
    """Scores by how much the loss would change: weight times gradient, summed over a group.

    Source: Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019, arXiv:1906.10771.
    """
    network.eval()  # batch statistics of a few examples would only add noise
    network.zero_grad()
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    for inputs, labels in batches:
        torch.autograd.backward(nn.functional.cross_entropy(network(inputs), labels, reduction="sum"))
    return tp.importance.TaylorImportance()


def mask_zeros(network: nn.Module, names: list[str]) -> dict[str, Any]:
    """Mask again what was masked before the cut: the zeros among the weights that stay."""
    modules = dict(network.named_modules())
    for name in names:
        module = modules[name]
        prune.custom_from_mask(module, "weight", (module.weight != 0).to(torch.float32))  # type: ignore[no-untyped-call]
    return {"op": "mask", "modules": names}
