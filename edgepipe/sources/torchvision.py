"""`model.source: torchvision`: any of its classification networks, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, JsonValue

from edgepipe.base.suggest import did_you_mean
from edgepipe.contract import Job, ModelSource, Signature
from edgepipe.contract.artifact import Artifact, Kind
from edgepipe.contract.guess import Guess, Sure
from edgepipe.contract.settings import PathText
from edgepipe.errors import ModelError
from edgepipe.sources.settings import file_digest, is_path
from edgepipe.torch.torchvision_networks import (
    build_network,
    known_names,
    misfit,
    segmenters,
    unknown_name,
    unknown_source,
)

if TYPE_CHECKING:
    from torch import nn


_AUXILIARY = "aux_classifier."
"""Weights of a head that segmentation networks were trained with and are not evaluated with."""


class TorchvisionModel(ModelSource):
    """A classification or segmentation network of torchvision, random, with published weights or from a checkpoint."""

    kind: ClassVar[Kind] = Kind.TORCH
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "safetensors")

    name: str = Field(description="a network of torchvision for classes or masks, as in resnet18")
    weights: PathText | None = Field(
        None, description="null: random; a weights name of torchvision (downloads); a .pth or .safetensors checkpoint"
    )
    num_classes: int | None = Field(
        None, ge=1, description="classes; null: as many as the data names, else 1000, of masks 21"
    )

    @classmethod
    def guess(cls, given: str) -> Guess | None:
        if not given.isidentifier() or unknown_name(given) is not None:
            return None
        return Guess({"name": given}, Sure.LIKELY, "a network of torchvision")

    @classmethod
    def names(cls) -> Sequence[str]:
        return [*known_names(), *segmenters()]

    def digests(self) -> dict[str, JsonValue]:
        return {"weights": file_digest(self.weights, "model.weights")}

    def problems(self) -> list[tuple[str, str]]:
        wrong = unknown_source(self.name)
        return [] if wrong is None else [("name", wrong)]

    def misfits(self, input_shape: tuple[int, ...]) -> list[tuple[str, str]]:
        wrong = misfit(self.name, input_shape)
        return [] if wrong is None else [("name", wrong)]

    @classmethod
    def network(cls, base: Mapping[str, Any]) -> Any:
        return build_network(str(base["name"]), int(base["num_classes"]))

    def load(self, out: Path, signature: Signature, seed: int, job: Job | None = None) -> Artifact:
        from edgepipe.torch import artifact as torch_artifact
        from edgepipe.torch.interface import seeded

        classes = self.num_classes or len(signature.classes) or (21 if self.name in segmenters() else 1000)
        with seeded(seed):
            network = build_network(self.name, classes)
        if self.weights is not None:
            if is_path(self.weights):
                torch_artifact.load_checkpoint(
                    network, Path(self.weights), "Check model.name and model.num_classes", trained_with=_AUXILIARY
                )
            else:
                _load_published(network, self.name, self.weights)
        base = {"source": "torchvision", "name": self.name, "num_classes": classes, "seed": seed}
        try:
            return torch_artifact.bring_in(network, base, out, signature, job)
        except ModelError as error:
            raise ModelError(f"model.name: {self.name}: {error}") from error


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
