"""What it costs to narrow a group of channels, before anything is cut: how far the network's answers would move.

The layers that read the group lose inputs, so their outputs change; a change moves the answers by as much as these are
sensitive to it, which one backward pass from random directions tells (for a direction v of mean zero and variance one
the mean square of the gradient of v . answers is the squared norm of the answers' Jacobian). Where the layers will be
fitted afterwards, what they lose is only what the kept channels cannot say in the place of the others, by least
squares. Errors of layers and places are taken as independent, and no label is read.
Sources: Hassibi and Stork, Optimal Brain Surgeon, NeurIPS 1992; He et al., ICCV 2017, arXiv:1707.06168.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgepipe.contract import Progress
from edgepipe.pruning.refit import PLACES

_RIDGE = 1e-4
"""Share of the mean square of a channel, without which channels that say the same have no least squares."""


@dataclass(frozen=True)
class Reader:
    """A layer that reads a group: `inputs[i]` of its input channels are the group's channel `channels[i]`."""

    layer: str
    inputs: Sequence[int]
    channels: Sequence[int]


class _Seen:
    """What one reader saw of a group: second moments and sum of its channels over examples and places.

    Attributes:
        inputs: (C, places), the input channels of the layer that are each channel's; several where a map was flattened.
        sensitivity: of the answers to each output of the layer, (outputs,).
    """

    def __init__(self, reader: Reader) -> None:
        owners = torch.as_tensor(list(reader.channels))
        count = int(owners.max()) + 1
        self.inputs = torch.as_tensor(list(reader.inputs))[torch.sort(owners, stable=True).indices].reshape(count, -1)
        self.squares = torch.zeros((count, count), dtype=torch.float64)
        self.total = torch.zeros(count, dtype=torch.float64)
        self.rows = 0
        self.sensitivity = torch.zeros((), dtype=torch.float64)

    def add(self, x: Tensor) -> None:
        """Take in (rows, input channels of the layer)."""
        mine = x[:, self.inputs.flatten()].reshape(len(x), *self.inputs.shape).transpose(1, 2)
        mine = mine.reshape(-1, len(self.inputs)).double()
        self.squares += mine.T @ mine
        self.total += mine.sum(0)
        self.rows += len(mine)


def costs(
    network: nn.Module,
    groups: Sequence[tuple[Sequence[Reader], Tensor]],
    batches: Iterable[Tensor],
    *,
    fitted: bool,
    seed: int,
    progress: Progress,
) -> list[list[float] | None]:
    """For each group the mean squared change of the answers after its 0, 1, 2 … least important channels are gone.

    Args:
        groups: who reads the channels, and the importance of each channel, (C,).
        batches: float32 (n, *input_shape) examples.
        fitted: the layers will be fitted to what they answered before.

    Returns:
        (C + 1) numbers that grow; None for a group of which no reader was seen to run.
    """
    seen: dict[str, list[tuple[Reader, _Seen]]] = {}
    for readers, _ in groups:
        for reader in readers:
            seen.setdefault(reader.layer, []).append((reader, _Seen(reader)))
    examples = _watch(network, seen, batches, seed)
    records = {id(reader): record for pairs in seen.values() for reader, record in pairs if record.rows}
    layers = dict(network.named_modules())
    found: list[list[float] | None] = []
    for number, (readers, scores) in enumerate(groups):
        progress(number / max(1, len(groups)), "weighing channels")
        order = torch.sort(scores.detach(), descending=True, stable=True).indices
        known = [reader for reader in readers if id(reader) in records]
        if not known:
            found.append(None)
            continue
        lost = torch.zeros(len(order) + 1, dtype=torch.float64)
        for reader in known:
            lost += _lost(layers[reader.layer], records[id(reader)], order, examples, fitted)
        lost *= len(readers) / len(known)  # a reader that runs out of sight counts as the others do
        found.append(torch.cummax(lost, 0).values.tolist())
    return found


def _watch(
    network: nn.Module, seen: Mapping[str, Sequence[tuple[Reader, _Seen]]], batches: Iterable[Tensor], seed: int
) -> int:
    """Run the examples forwards and backwards; fills what was seen and returns how many they were."""
    network.eval()
    generator = torch.Generator().manual_seed(seed)

    def note(name: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            x = _rows(layer, inputs[0].detach(), generator)
            for _, record in seen[name]:
                record.add(x)

            def backwards(gradient: Tensor) -> None:
                channel = 1 if isinstance(layer, nn.Conv2d) else gradient.ndim - 1
                others = [axis for axis in range(gradient.ndim) if axis != channel]
                found = gradient.double().square().sum(others)
                for _, record in seen[name]:
                    record.sensitivity = record.sensitivity + found

            if output.requires_grad:
                output.register_hook(backwards)  # type: ignore[no-untyped-call]

        return hook

    watched = {name: module for name, module in network.named_modules() if name in seen and _is_read(module)}
    hooks = [module.register_forward_hook(note(name)) for name, module in watched.items()]
    needed = [parameter.requires_grad for parameter in network.parameters()]
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    examples = 0
    try:
        for inputs in batches:
            answers = network(inputs.clone().requires_grad_(True))
            answers.backward(torch.randn(answers.shape, generator=generator))
            examples += len(inputs)
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, wanted in zip(network.parameters(), needed, strict=True):
            parameter.requires_grad_(wanted)
    return examples


def _is_read(module: nn.Module) -> bool:
    """Layers whose every output is a weighted sum of all input channels."""
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)


def _rows(layer: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
    """(rows, input channels) of some places."""
    if isinstance(layer, nn.Linear):
        return x.reshape(-1, x.shape[-1])
    x = x.flatten(2).transpose(1, 2)
    if x.shape[1] > PLACES:
        x = x[:, torch.randperm(x.shape[1], generator=generator)[:PLACES]]
    return x.reshape(-1, x.shape[2])


def _lost(layer: Any, seen: _Seen, order: Tensor, examples: int, fitted: bool) -> Tensor:
    """Mean squared change of the answers through one reader, (C + 1,), by how many channels are gone."""
    channels = len(order)
    moments = seen.squares / seen.rows
    if fitted:  # the constant is fitted too
        moments = moments - torch.outer(seen.total / seen.rows, seen.total / seen.rows)
        # On fewer rows than channels, as in front of a classifier, channels say each other by chance. Covariances are
        # shrunk the more, the fewer rows there are, so that little is said where there is little to tell it by.
        chance = (channels / (channels + seen.rows)) ** 2
        moments = (1 - chance) * moments + chance * moments.diagonal().diag()
    moments = moments[order][:, order]
    # Places of a flattened map count as those of a kernel do.
    place = seen.inputs[order]
    weights = layer.weight.detach().double().flatten(2) if layer.weight.ndim > 2 else layer.weight.detach().double()
    weights = weights[:, place.flatten()].reshape(len(weights), channels, -1)
    sensitivity = seen.sensitivity.expand(len(weights)) / max(1, examples)
    weights = weights * sensitivity.sqrt()[:, None, None]
    weights = weights.transpose(1, 2).reshape(-1, channels)
    effect = weights.T @ weights
    lost = torch.zeros(channels + 1, dtype=torch.float64)
    if fitted:
        ridge = _RIDGE * moments.diagonal().mean().clamp_min(0) + 1e-12
        factor, failed = torch.linalg.cholesky_ex(moments + ridge * torch.eye(channels, dtype=torch.float64))
        if not int(failed):
            # With the kept channels first, what they cannot say of the others is the lower right of L L': a sum over
            # the columns of those that are gone, so that one factor serves every width.
            alone = ((effect @ factor) * factor).sum(0)
            lost[1:] = alone.flip(0).cumsum(0)
            return lost
    both = (effect * moments).flip(0, 1)
    lost[1:] = both.cumsum(0).cumsum(1).diagonal()
    return lost.clamp_min(0)
