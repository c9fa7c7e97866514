"""`model.source: torchvision`: any of its classification networks, by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, JsonValue

from edgepipe.artifact import Artifact, Kind, Signature
from edgepipe.contract import Job
from edgepipe.errors import ModelError
from edgepipe.models.settings import ModelSettings, file_digest, is_path
from edgepipe.registry import did_you_mean
from edgepipe.settings import PlaceText

if TYPE_CHECKING:
    from torch import nn


_SIDES = (16, 32, 48, 64, 75, 96, 128, 160, 192, 224, 256, 299, 320, 384, 448, 512, 518)
"""Sides of pictures, in pixels, that are tried where another does not fit."""


class TorchvisionModel(ModelSettings):
    """A classification network of torchvision, random, with published weights or from a checkpoint."""

    kind: ClassVar[Kind] = Kind.TORCH
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "safetensors")

    name: str = Field(description="a classification network of torchvision, as in resnet18")
    weights: PlaceText | None = Field(
        None, description="null: random; a weights name of torchvision (downloads); a .pth or .safetensors checkpoint"
    )
    num_classes: int | None = Field(None, ge=1, description="classes; null: as many as the data names, else 1000")

    def digests(self) -> dict[str, JsonValue]:
        return {"weights": file_digest(self.weights, "model.weights")}

    def problems(self) -> list[tuple[str, str]]:
        wrong = unknown_name(self.name)
        return [] if wrong is None else [("name", wrong)]

    def misfits(self, input_shape: tuple[int, ...]) -> list[tuple[str, str]]:
        wrong = misfit(self.name, input_shape)
        return [] if wrong is None else [("name", wrong)]

    def load(self, out: Path, signature: Signature, seed: int, job: Job | None = None) -> Artifact:
        from edgepipe.models import torch_artifact
        from edgepipe.models.interface import seeded

        classes = self.num_classes or len(signature.classes) or 1000
        with seeded(seed):
            network = build_network(self.name, classes)
        if self.weights is not None:
            if is_path(self.weights):
                torch_artifact.load_checkpoint(network, Path(self.weights), "Check model.name and model.num_classes")
            else:
                _load_published(network, self.name, self.weights)
        base = {"source": "torchvision", "name": self.name, "num_classes": classes, "seed": seed}
        try:
            return torch_artifact.bring_in(network, base, out, signature, job)
        except ModelError as error:
            raise ModelError(f"model.name: {self.name}: {error}") from error


def unknown_name(name: str) -> str | None:
    """That torchvision has no classification network of this name, in a sentence; None: it has."""
    import torchvision
    from torchvision import models

    known = models.list_models(module=torchvision.models)
    return None if name in known else f"torchvision has no classification network '{name}'.{did_you_mean(name, known)}"


def misfit(name: str, input_shape: tuple[int, ...]) -> str | None:
    """That a network does not take pictures, (channels, height, width), and which it takes; None: it does.

    Found without memory or arithmetic: the network is laid out and asked on PyTorch's meta device.
    """
    import torch

    from edgepipe.models.interface import seeded

    if unknown_name(name) is not None or len(input_shape) != 3:
        return None
    try:
        with seeded(0), torch.device("meta"):
            network = build_network(name, 10).eval()
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
        ModelError: torchvision has no classification network of this name.
    """
    from torchvision import models

    wrong = unknown_name(name)
    if wrong is not None:
        raise ModelError(f"model.name: {wrong}")
    extra: dict[str, object] = {}
    if name in ("googlenet", "inception_v3"):
        extra = {"aux_logits": False, "init_weights": True}
    network: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **extra)
    return network


def _load_published(network: nn.Module, name: str, weights: str) -> None:
    from torchvision import models

    known = [member.name for member in models.get_model_weights(name)]
    if weights not in [*known, "DEFAULT"]:
        raise ModelError(
            f"model.weights: {name} has no weights '{weights}'.{did_you_mean(weights, [*known, 'DEFAULT'])}"
        )
    try:
        state = models.get_model_weights(name)[weights].get_state_dict(progress=True, check_hash=True)
    except Exception as error:  # urllib, ssl, hash mismatch: whatever a download can do
        raise ModelError(
            f"model.weights: {weights} could not be downloaded ({error}). "
            "Fetch the checkpoint elsewhere and give its path, as in model.weights=resnet18.pth"
        ) from None
    own = network.state_dict()
    head = [key for key in state if key in own and own[key].shape != state[key].shape]
    fits = {key: value for key, value in state.items() if key in own and key not in head}
    network.load_state_dict(fits, strict=False)  # another number of classes keeps its random classifier
