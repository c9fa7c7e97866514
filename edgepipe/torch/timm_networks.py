"""The networks of timm, by name: whether there is one, what it takes, how its pictures are prepared, and it itself."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgepipe.base.suggest import did_you_mean
from edgepipe.errors import ModelError
from edgepipe.torch.torchvision_networks import refusal

if TYPE_CHECKING:
    from torch import nn

_RESAMPLE = {"nearest": 0, "bilinear": 2, "bicubic": 3}


def _timm() -> Any:
    """The library, imported without its annotations.

    Raises:
        ModelError: it is not installed.
    """
    try:
        return importlib.import_module("timm")
    except ImportError:
        raise ModelError("model.source: reading it needs timm: pip install 'edgepipe[timm]'") from None


def unknown_name(name: str) -> str | None:
    """That timm has no network of this name, in a sentence; None: it has. "resnet18.a1_in1k" names weights, too."""
    if ":" in name or "/" in name:
        return f"'{name}' is an address: give the name of a network, as in resnet18, and a file as model.weights"
    timm = _timm()
    plain, _, tag = name.partition(".")
    if not timm.is_model(plain):
        return f"timm has no network '{name}'.{did_you_mean(name, timm.list_models())}"
    tags = sorted({known.partition(".")[2] for known in timm.list_pretrained(f"{plain}.*")})
    return None if not tag or tag in tags else f"timm has no weights '{tag}' of {plain}.{did_you_mean(tag, tags)}"


def misfit(name: str, input_shape: tuple[int, ...]) -> str | None:
    """That a network does not take pictures, (channels, height, width), and which it takes; None: it does."""
    if unknown_name(name) is not None or len(input_shape) != 3:
        return None
    return refusal(name, input_shape, lambda: build_network(name, 10))


def processor(name: str) -> dict[str, Any]:
    """How pictures were prepared for its published weights, in the words of preprocessor_config.json."""
    config = dict(_timm().get_pretrained_cfg(name).to_dict())
    height, width = config["input_size"][1:]
    return {
        "size": {"height": height, "width": width},
        "resample": _RESAMPLE.get(config.get("interpolation", ""), -1),
        "image_mean": list(config["mean"]),
        "image_std": list(config["std"]),
    }


def build_network(name: str, num_classes: int, *, pretrained: bool = False) -> nn.Module:
    """A random network, or with the published weights, which are fetched.

    Args:
        num_classes: 0: its features, without a classifier.
    Raises:
        ModelError: timm has no network of this name.
    """
    wrong = unknown_name(name)
    if wrong is not None:
        raise ModelError(f"model.name: {wrong}")
    network: nn.Module = _timm().create_model(name, pretrained=pretrained, num_classes=num_classes)
    return network
