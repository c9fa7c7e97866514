"""A network from the user's own function: whether it may be called, and calling it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgepipe.contract.artifact import canonical_json
from edgepipe.errors import ModelError
from edgepipe.store import user_code

if TYPE_CHECKING:
    from torch import nn


_TRUSTED: set[tuple[str, str]] = set()
"""Factories, each with its arguments, that a recipe of this process was trusted to call."""


def trust(factory: str, kwargs: dict[str, Any]) -> None:
    """Let artifacts of this process name this factory with these arguments."""
    _TRUSTED.add((factory, canonical_json(kwargs)))


def call_stored(factory: str, kwargs: dict[str, Any]) -> nn.Module:
    """The network that an artifact's architecture names: data from a store, which may name only what is trusted.

    Raises:
        ModelError: it is not the factory, with its arguments, of the recipe that was trusted.
    """
    if (factory, canonical_json(kwargs)) not in _TRUSTED:
        raise ModelError(
            f"architecture.json: its network comes from '{factory}', which is code and not the recipe's model.factory "
            "with its model.kwargs under trust_code=true: a stored file may not choose what runs. Remove the entry: "
            "edgepipe store gc --keep-bytes 0"
        )
    return call_factory(factory, kwargs)


def call_factory(factory: str, kwargs: dict[str, Any]) -> nn.Module:
    """Import and call the user's function.

    Raises:
        ModelError: it cannot be imported, fails, or returns something else than a module.
    """
    from torch import nn

    network = user_code.call("model.factory", factory, kwargs, ModelError)
    if not isinstance(network, nn.Module):
        raise ModelError(f"model.factory: {factory} returned {type(network).__name__}; expected a torch.nn.Module")
    return network
