"""Makes a network of random weights behave as a trained one does: no layer dies, no answer is a constant.

Each layer's weight is scaled and its bias moved so that its channels are centred with unit deviation on examples, in
the order in which they run (Mishkin and Matas, 2015, "All you need is a good init"); then statistics of batch norm are
taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d)
_SWITCHED_OFF = 0.05
"""A scale of all channels below it was set so that a block does nothing before it is trained."""
_DEEP = 40
"""Layers above which rounding grows beyond what a trained network makes of it: random ones with batch norm are chaotic
(Yang and others, 2019, "A mean field theory of batch normalization"). There batch norm's biases are `_CALM` deviations,
which keeps most units of a ReLU in its linear part."""
_CALM = 1.0


def settle(network: nn.Module, given: Any) -> nn.Module:
    """Settle a network in place on a batch: a tensor, or inputs by their names; returned in eval mode."""
    batch_norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for name, value in network.named_parameters():
            if value.dim() <= 4 and value.numel() > 1 and not name.endswith("bias") and _off(value):
                value.fill_(0.5)
        network.eval()
        seen: set[nn.Module] = set()
        hooks = [
            module.register_forward_hook(_fit(seen)) for module in network.modules() if isinstance(module, _LAYERS)
        ]
        _ask(network, given)
        for hook in hooks:
            hook.remove()
        if len(seen) > _DEEP:
            for module in network.modules():
                norm: Any = module
                if (module in batch_norms or type(module).__name__ == "FrozenBatchNorm2d") and norm.bias is not None:
                    norm.bias.fill_(_CALM)
        if batch_norms:
            kept = [module.momentum for module in batch_norms]
            for module in batch_norms:
                module.train()
            for step in range(3):
                for module in batch_norms:
                    module.momentum = 1 / (step + 1)  # the plain mean of what was seen
                _ask(network, given)
            for module, momentum in zip(batch_norms, kept, strict=True):
                module.momentum = momentum
    return network.eval()


def _off(value: torch.Tensor) -> bool:
    flat = value.flatten()
    return bool((flat == flat[0]).all()) and abs(float(flat[0])) < _SWITCHED_OFF and flat.numel() == max(value.shape)


def _fit(seen: set[nn.Module]) -> Any:
    def hook(module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        if module in seen or not output.is_floating_point():
            return output
        seen.add(module)
        axis = output.dim() - 1 if isinstance(module, nn.Linear) else 1
        others = [number for number in range(output.dim()) if number != axis]
        middle = output.mean(others, keepdim=True)
        spread = (output - middle).std().clamp(min=1e-4)
        weight: Any = module.weight
        weight.div_(spread)
        bias: Any = module.bias
        if bias is None:
            return output / spread
        bias.sub_(middle.flatten()).div_(spread)
        return (output - middle) / spread

    return hook


def _ask(network: nn.Module, given: Any) -> None:
    if isinstance(given, Mapping):
        network(**given)
    else:
        network(given)
