"""A cut network answers as the uncut one does whose removed channels nobody hears: the proof of every cut.

What "removed" means is taken from the readers: in the uncut network they are given zeros in the place of the channels
that are gone, normalizations over channels leave them out, and heads of attention lose the same rows. Whatever the
layers between compute of a silent channel (a shift of batch norm, a sigmoid of zero) is so without effect, as it is in
the cut network. Layers are compared one by one, in the order they run, so that the first that differs names itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from edgepipe.torch.interface import drawn

WIDE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)

_ALIKE = 1e-3
"""Relative difference that rounding of float32 may make; wrong columns make hundredths to wholes."""


@dataclass
class Left:
    """What is left of one module: indices among those before the cut, ascending; None: all."""

    ins: list[int] | None = None
    outs: list[int] | None = None


@dataclass
class Heads:
    """What is left of an attention layer: input columns and outputs, and rows of queries and keys, and of values."""

    width: list[int]
    queries: list[int]
    values: list[int]


@dataclass
class Cut:
    """Everything that is gone, by module."""

    layers: dict[str, Left] = field(default_factory=dict)
    norms: dict[str, list[int]] = field(default_factory=dict)  # channels that normalizations over channels keep
    heads: dict[str, Heads] = field(default_factory=dict)


class Snapshot:
    """The parameters, buffers and sizes of every module as they are now; not copied, since cutting makes new ones."""

    def __init__(self, network: nn.Module) -> None:
        self._kept = [
            (
                module,
                dict(module._parameters),
                dict(module._buffers),
                {key: value for key, value in vars(module).items() if _is_size(value)},
            )
            for module in network.modules()
        ]

    def restore(self) -> None:
        """Give them back to the network."""
        for module, parameters, buffers, sizes in self._kept:
            module._parameters.clear()
            module._parameters.update(parameters)
            module._buffers.clear()
            module._buffers.update(buffers)
            vars(module).update(sizes)


def _is_size(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(type(item) is int for item in value)
    return type(value) is int


@dataclass
class Difference:
    """Where a cut network stops answering as it should: the first layer (None: only the answers), and how.

    With `behind` the layer itself has run: what reads its output without being a layer does not.
    """

    layer: str | None
    what: str
    behind: bool = False


def inputs_like(input_shape: Sequence[int], real: Tensor | None = None, network: nn.Module | None = None) -> Tensor:
    """Two random examples, the same each time, and up to two real ones behind them."""
    made = drawn(network or nn.Identity(), 2, input_shape)
    return made if real is None else torch.cat([made, real[:2].to(made.dtype)])


def difference(network: nn.Module, before: Snapshot, cut: Cut, inputs: Tensor) -> Difference | None:
    """The first difference between the network, cut, and what it was `before` with the same channels silent."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        ours, broken = _outputs(network, inputs, {})
        if broken is not None:
            return broken
        now = Snapshot(network)
        try:
            before.restore()
            hooks = _silence(network, cut)
            try:
                theirs, failed = _outputs(network, inputs, cut.layers)
            finally:
                for hook in hooks:
                    hook.remove()
        finally:
            now.restore()
    finally:
        for module in training:
            module.training = True
    if failed is not None:
        return failed
    if [name for name, _ in ours] != [name for name, _ in theirs]:
        return Difference(None, "other layers run than before")
    for (name, got), (_, wanted) in zip(ours, theirs, strict=True):
        where = name or None
        if got.shape != wanted.shape:
            return Difference(where, f"its output is {list(got.shape)}, not {list(wanted.shape)}")
        off = float((got - wanted).norm() / wanted.norm().clamp_min(1e-12)) if got.numel() else 0.0
        # NaN comes from broken weights, which another check names.
        if off > _ALIKE and float((got - wanted).abs().max()) > 1e-9:
            return Difference(where, f"relative error {off:.2g}")
    return None


def _outputs(
    network: nn.Module, inputs: Tensor, left: Mapping[str, Left]
) -> tuple[list[tuple[str, Tensor]], Difference | None]:
    """What every layer put out, reduced to the channels left, and last the answers under an empty name."""
    found: list[tuple[str, Tensor]] = []
    running: list[str] = []

    def enter(name: str) -> Callable[..., None]:
        return lambda _module, _inputs: running.append(name)

    def leave(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            running.pop()
            if isinstance(module, WIDE) and isinstance(output, Tensor):
                outs = left[name].outs if name in left else None
                # A copy: an activation in place may write over it.
                kept = output.clone() if outs is None else output.index_select(axis(module), torch.tensor(outs))
                found.append((name, kept))

        return hook

    hooks = []
    for name, module in network.named_modules():
        if name and not any(module.children()):
            hooks.append(module.register_forward_pre_hook(enter(name)))
            hooks.append(module.register_forward_hook(leave(name)))
    try:
        with torch.no_grad():
            answers = network(inputs)
    except Exception as error:
        last = running[-1] if running else (found[-1][0] if found else None)
        return found, Difference(last, f"it does not run any more ({type(error).__name__}: {error})", not running)
    finally:
        for hook in hooks:
            hook.remove()
    if isinstance(answers, Tensor):
        found.append(("", answers))
    return found, None


def axis(module: nn.Module) -> int:
    """The axis of channels in what the module reads and writes."""
    return -1 if isinstance(module, nn.Linear) or type(module) is nn.LayerNorm else 1


def _silence(network: nn.Module, cut: Cut) -> list[Any]:
    hooks: list[Any] = []
    modules = dict(network.named_modules())
    for name, left in cut.layers.items():
        if left.ins is not None:
            hooks.append(modules[name].register_forward_pre_hook(_hearing(left.ins)))
    for name, kept in cut.norms.items():
        hooks.append(modules[name].register_forward_hook(_among(kept)))
    for name, heads in cut.heads.items():
        _silence_heads(modules[name], heads)
    return hooks


def _hearing(kept: list[int]) -> Callable[..., Any]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x, where = inputs[0], axis(module)
        heard = torch.zeros_like(x)
        places = torch.tensor(kept)
        return (heard.index_copy(where, places, x.index_select(where, places)), *inputs[1:])

    return hook


def _among(kept: list[int]) -> Callable[..., Any]:
    """A normalization over channels whose mean and variance are those of the channels kept."""

    def hook(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x, where, places = inputs[0], axis(module), torch.tensor(kept)
        few = x.index_select(where, places)
        weight = module.weight[places] if module.weight is not None else None
        bias = module.bias[places] if module.bias is not None else None
        if isinstance(module, nn.GroupNorm):
            done = nn.functional.group_norm(few, module.num_groups, weight, bias, module.eps)
        else:
            last = few.movedim(where, -1)
            done = nn.functional.layer_norm(last, (len(kept),), weight, bias, module.eps).movedim(-1, where)
        return torch.zeros_like(output).index_copy(where, places, done)

    return hook


def _silence_heads(module: Any, heads: Heads) -> None:
    """New weights, with zeros, in the place of the uncut layer's; the snapshot keeps the old ones."""
    width = module.embed_dim
    rows, columns = torch.zeros(3 * width, 1), torch.zeros(1, width)
    for part, kept in enumerate((heads.queries, heads.queries, heads.values)):
        rows[[part * width + row for row in kept]] = 1
    columns[:, heads.width] = 1
    module._parameters["in_proj_weight"] = nn.Parameter(module.in_proj_weight.detach() * rows * columns)
    if module.in_proj_bias is not None:
        module._parameters["in_proj_bias"] = nn.Parameter(module.in_proj_bias.detach() * rows[:, 0])
