"""Networks of torchvision, by name: whether there is one, what it takes, and it itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgepipe.base.suggest import did_you_mean
from edgepipe.errors import ModelError

if TYPE_CHECKING:
    from torch import nn


_SIDES = (16, 32, 48, 64, 75, 96, 128, 160, 192, 224, 256, 299, 320, 384, 448, 512, 518)
"""Sides of pictures, in pixels, that are tried where another does not fit."""
_DETECTORS = ("fasterrcnn_", "fcos_", "retinanet_", "ssd300_", "ssdlite320_")
_MORE_THAN_BOXES = ("maskrcnn_", "keypointrcnn_")
_BOXES_ALONE = "fasterrcnn_resnet50_fpn"


def known_names() -> list[str]:
    """The classification networks of torchvision."""
    import torchvision
    from torchvision import models

    found: list[str] = models.list_models(module=torchvision.models)
    return found


def segmenters() -> list[str]:
    """The segmentation networks of torchvision: they answer maps of classes, as large as the picture."""
    from torchvision import models

    found: list[str] = models.list_models(module=models.segmentation)
    return found


def detectors() -> list[str]:
    """The detection networks of torchvision that answer boxes alone."""
    from torchvision import models

    return [name for name in models.list_models(module=models.detection) if is_detector(name)]


def is_detector(name: str) -> bool:
    """Whether a name is that of a detector of boxes; asked before torchvision is imported."""
    return name.startswith(_DETECTORS)


def unknown_source(name: str) -> str | None:
    """That torchvision has no network for classes, masks or boxes of this name; None: it has one."""
    known = [*known_names(), *segmenters(), *detectors()]
    if name in known:
        return None
    if name.startswith(_MORE_THAN_BOXES):
        return f"'{name}' answers masks or key points beside its boxes, which no task reads: take {_BOXES_ALONE}"
    return f"torchvision has no network for classes, masks or boxes '{name}'.{did_you_mean(name, known)}"


def unknown_name(name: str) -> str | None:
    """That torchvision has no classification network of this name, in a sentence; None: it has."""
    known = known_names()
    return None if name in known else f"torchvision has no classification network '{name}'.{did_you_mean(name, known)}"


def misfit(name: str, input_shape: tuple[int, ...]) -> str | None:
    """That a network does not take pictures, (channels, height, width), and which it takes; None: it does.

    Found without memory or arithmetic: the network is laid out and asked on PyTorch's meta device.
    """
    if unknown_source(name) is not None or len(input_shape) != 3:
        return None
    if is_detector(name):  # their loops and suppression are not for the meta device; any size is taken
        channels = input_shape[0]
        return None if channels == 3 else f"'{name}' takes pictures of 3 channels, not {channels}. Set data.channels=3"
    return refusal(name, input_shape, lambda: build_network(name, 10))


def refusal(name: str, input_shape: tuple[int, ...], build: Callable[[], nn.Module]) -> str | None:
    """That what is built does not take pictures of this shape, and which it takes; None: it does, or nobody knows."""
    import torch

    from edgepipe.torch.interface import seeded

    try:
        with seeded(0), torch.device("meta"):
            network = build().eval()
    except NotImplementedError:  # RegNets compute their widths with tensors; loading asks them again
        return None

    def refused(shape: tuple[int, ...]) -> str | None:
        try:
            with torch.no_grad():
                network(torch.empty((2, *shape), device="meta"))
        except NotImplementedError:
            return None  # an operator that this device lacks says nothing
        except Exception as error:
            return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        return None

    said = refused(input_shape)
    if said is None:
        return None
    channels, height, width = input_shape
    remedy = "Choose another network"
    if channels != 3 and refused((3, height, width)) is None:
        remedy = "Set data.channels=3"
    else:
        fits = next((side for side in _SIDES if refused((3, side, side)) is None), None)
        if fits is not None:
            remedy = f"It takes data.image_size={fits}" + (" with data.channels=3" if channels != 3 else "")
    return f"'{name}' does not take pictures of {height}x{width} pixels and {channels} channels ({said}). {remedy}"


def build_network(name: str, num_classes: int) -> nn.Module:
    """A random network; auxiliary classifiers (used in training only) are left out.

    Raises:
        ModelError: torchvision has no network for classes, masks or boxes of this name.
    """
    from torchvision import models

    wrong = unknown_source(name)
    if wrong is not None:
        raise ModelError(f"model.name: {wrong}")
    extra: dict[str, object] = {}
    if name in ("googlenet", "inception_v3"):
        extra = {"aux_logits": False, "init_weights": True}
    elif is_detector(name) or name in segmenters():
        extra = {"weights_backbone": None}  # else a backbone's weights would be fetched
    network: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **extra)
    return network
