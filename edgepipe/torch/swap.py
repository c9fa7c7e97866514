"""Replacing operators that have no fast int8 kernel."""

from __future__ import annotations

from typing import Any

from torch import nn

from edgepipe.errors import ModelError

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6}
SMOOTH = (nn.SiLU, nn.Hardswish, nn.GELU, nn.ELU, nn.Mish)
GATES = {"SqueezeExcitation", "SqueezeExcite", "SEModule", "SELayer"}
"""Class names of squeeze-excite blocks in torchvision, timm and others: modules that scale their own input."""


def plan(network: nn.Module, *, activation: str | None, gates: bool) -> dict[str, str]:
    """What to put in the place of which module, by name; a gate's own parts go with it.

    Args:
        activation: "relu" or "relu6" for every smooth activation; None: keep them.
        gates: take squeeze-excite blocks out.
    """
    swaps: dict[str, str] = {}
    for name, module in network.named_modules():
        if any(name.startswith(f"{gone}.") for gone, what in swaps.items() if what == "identity"):
            continue
        if gates and type(module).__name__ in GATES:
            swaps[name] = "identity"
        elif activation is not None and isinstance(module, SMOOTH):
            swaps[name] = activation
    return swaps


def apply(network: nn.Module, swaps: dict[str, Any]) -> None:
    """Carry a plan out, in place.

    Raises:
        ModelError: the network has no such module, or what replaces it is unknown.
    """
    for name, what in swaps.items():
        parent, _, leaf = name.rpartition(".")
        try:
            owner = network.get_submodule(parent)
            owner.get_submodule(leaf)
        except AttributeError:
            raise ModelError(f"architecture.json: swap: the network has no module '{name}'") from None
        if what != "identity" and what not in ACTIVATIONS:
            raise ModelError(f"architecture.json: swap: unknown replacement '{what}' of '{name}'")
        # Where the old one left its input alone, somebody may read that.
        inplace = bool(getattr(owner.get_submodule(leaf), "inplace", False))
        owner.register_module(leaf, nn.Identity() if what == "identity" else ACTIVATIONS[what](inplace=inplace))
