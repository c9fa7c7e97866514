"""Which inputs of a layer belong to which channel, found by moving channels and looking what moves with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgepipe.pruning.silenced import axis

Makers = Mapping[str, tuple[Sequence[int], Sequence[int]]]
"""By layer: its outputs, and which channel of the group each of them is."""


def owners(network: nn.Module, makers: Makers, readers: Sequence[str], inputs: Tensor) -> dict[str, list[list[int]]]:
    """For each reader, and each channel of the group, the input columns that move with the channel.

    Channels are numbered in binary; two runs for each digit, one that moves the channels where it is 1 and one where
    it is 0, tell the number of every column. A reader of which a column moves with several channels, or a channel
    moves no column, or not as many as another does, is left out: its columns belong to no channel alone.
    """
    count = 1 + max(max(channels) for _, channels in makers.values())
    one = inputs[:1].expand(2, *inputs.shape[1:])
    still = _seen(network, makers, readers, one, None)
    digits = max(1, (count - 1).bit_length())
    moved: dict[str, list[list[Tensor]]] = {name: [] for name in still}
    for digit in range(digits):
        ones = torch.tensor([bool(channel >> digit & 1) for channel in range(count)])
        runs = [_seen(network, makers, readers, one, which) for which in (ones, ~ones)]
        for name, x in still.items():
            moved[name].append([_changed(network.get_submodule(name), x, run.get(name)) for run in runs])
    found: dict[str, list[list[int]]] = {}
    for name, pairs in moved.items():
        numbers = sum(pair[0].long() << digit for digit, pair in enumerate(pairs))
        assert isinstance(numbers, Tensor)
        one_each = torch.stack([pair[0] ^ pair[1] for pair in pairs]).all(0)
        none = torch.stack([~(pair[0] | pair[1]) for pair in pairs]).all(0)
        columns: list[list[int]] = [[] for _ in range(count)]
        for column in torch.nonzero(one_each).flatten().tolist():
            number = int(numbers[column])
            if number < count:
                columns[number].append(column)
        if bool((one_each | none).all()) and len({len(each) for each in columns}) == 1 and columns[0]:
            found[name] = columns
    return found


def _changed(module: nn.Module, before: Tensor, after: Tensor | None) -> Tensor:
    if after is None or after.shape != before.shape:
        return torch.ones(before.shape[axis(module)], dtype=torch.bool)
    different = (before != after).movedim(axis(module), 0)
    return different.flatten(1).any(1)


def _seen(
    network: nn.Module, makers: Makers, readers: Sequence[str], inputs: Tensor, moved: Tensor | None
) -> dict[str, Tensor]:
    """What each reader reads when the channels marked in `moved` are far above (first example) or below (second)."""
    found: dict[str, Tensor] = {}

    def note(name: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found.setdefault(name, inputs[0].detach().clone())

        return hook

    def move(name: str) -> Any:
        outputs, channels = makers[name]

        def hook(module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            if moved is None:
                return output
            where = axis(module)
            which = torch.zeros(output.shape[where], dtype=torch.bool)
            which[list(outputs)] = moved[list(channels)]
            far = 10 * (output.abs().max() + 1) * (1 + torch.rand(output.shape, generator=generator))
            far[1:] *= -1
            return torch.where(
                which.reshape([-1 if at == where % output.ndim else 1 for at in range(output.ndim)]),
                output + far,
                output,
            )

        return hook

    generator = torch.Generator().manual_seed(0)
    modules = dict(network.named_modules())
    hooks = [modules[name].register_forward_pre_hook(note(name)) for name in readers]
    hooks += [modules[name].register_forward_hook(move(name)) for name in makers]
    try:
        with torch.no_grad():
            network(inputs)
    finally:
        for each in hooks:
            each.remove()
    return found
