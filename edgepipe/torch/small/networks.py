"""The small networks by their names; imports torch only when one is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from edgepipe.base.suggest import did_you_mean
from edgepipe.errors import ModelError

if TYPE_CHECKING:
    from torch import nn


class Small(NamedTuple):
    """A network before it is built.

    Attributes:
        module: its file, which has `build(channels, classes or scale, width)`.
        width: channels of its first convolution, unless others are asked for.
        scales: whether it enlarges pictures, and so takes a scale where others take a number of classes.
        least: shortest side of its inputs.
    """

    module: str
    width: int
    scales: bool
    least: int


NETWORKS = {
    "detector": Small("edgepipe.torch.small.detector", 16, False, 32),
    "unet": Small("edgepipe.torch.small.unet", 24, False, 8),
    "espcn": Small("edgepipe.torch.small.espcn", 64, True, 4),
    "ds_cnn": Small("edgepipe.torch.small.ds_cnn", 64, False, 4),
}


def unknown_name(name: str) -> str | None:
    """That there is no such network, in a sentence; None: there is."""
    return None if name in NETWORKS else f"no small network '{name}'.{did_you_mean(name, list(NETWORKS))}"


def build_small(name: str, channels: int, out: int, width: int) -> nn.Module:
    """A random network.

    Args:
        channels: of its input; out: classes, or of a network that enlarges pictures the scale.
    Raises:
        ModelError: there is no such network.
    """
    import importlib

    wrong = unknown_name(name)
    if wrong is not None:
        raise ModelError(f"model.name: {wrong}")
    module: Any = importlib.import_module(NETWORKS[name].module)
    network: nn.Module = module.build(channels, out, width)
    return network
