"""`model.source: torchvision`: its networks for classes, masks and boxes, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, JsonValue

from edgepipe.base.scratch import scratch
from edgepipe.base.suggest import did_you_mean
from edgepipe.contract import Job, ModelSource, Signature
from edgepipe.contract.artifact import ONNX_FILE, Artifact, Kind
from edgepipe.contract.guess import Guess, Sure
from edgepipe.contract.settings import PathText
from edgepipe.errors import ModelError
from edgepipe.sources.onnx_file import OnnxModel
from edgepipe.sources.settings import file_digest, is_path
from edgepipe.torch.torchvision_networks import (
    build_network,
    detectors,
    is_detector,
    known_names,
    misfit,
    segmenters,
    unknown_source,
)

if TYPE_CHECKING:
    from torch import nn


_AUXILIARY = "aux_classifier."
"""Weights of a head that segmentation networks were trained with and are not evaluated with."""


class TorchvisionModel(ModelSource):
    """A network of torchvision for classes, masks or boxes, random, with published weights or from a checkpoint.

    Detectors (SSDLite, SSD, RetinaNet, FCOS, Faster R-CNN) come as ONNX, one picture at a time and of the data's size,
    for they choose their boxes inside: passes that read torch are refused. Give them `data.fit=stretch`.
    """

    kind: ClassVar[Kind] = Kind.TORCH
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "safetensors")

    name: str = Field(description="a network of torchvision for classes, masks or boxes, as in resnet18")
    weights: PathText | None = Field(
        None, description="null: random; a weights name of torchvision (downloads); a .pth or .safetensors checkpoint"
    )
    num_classes: int | None = Field(
        None,
        ge=1,
        description="classes, of detectors with the background; null: as many as the data names, else 1000, of masks "
        "21, of boxes 91",
    )

    def gives(self) -> Kind:
        return Kind.ONNX if is_detector(self.name) else self.kind

    @classmethod
    def guess(cls, given: str) -> Guess | None:
        if not given.isidentifier() or unknown_source(given) is not None:
            return None
        return Guess({"name": given}, Sure.LIKELY, "a network of torchvision")

    @classmethod
    def names(cls) -> Sequence[str]:
        return [*known_names(), *segmenters(), *detectors()]

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

        classes = self.num_classes or self._classes(len(signature.classes))
        with seeded(seed):
            network = build_network(self.name, classes)
        if self.weights is not None:
            if is_path(self.weights):
                torch_artifact.load_checkpoint(
                    network, Path(self.weights), "Check model.name and model.num_classes", trained_with=_AUXILIARY
                )
            else:
                _load_published(network, self.name, self.weights)
        if is_detector(self.name):
            return self._detector(network, out, signature, seed, job)
        base = {"source": "torchvision", "name": self.name, "num_classes": classes, "seed": seed}
        try:
            return torch_artifact.bring_in(network, base, out, signature, job)
        except ModelError as error:
            raise ModelError(f"model.name: {self.name}: {error}") from error

    def _classes(self, named: int) -> int:
        if is_detector(self.name):
            return named + 1 if named else 91
        return named or (21 if self.name in segmenters() else 1000)

    def _detector(self, network: Any, out: Path, signature: Signature, seed: int, job: Job | None) -> Artifact:
        from edgepipe.torch.torchvision_detectors import answers_alike, export, own_size

        _channels, height, width = signature.input_shape
        own = own_size(network)
        with scratch("export") as space:
            file = space / ONNX_FILE
            try:
                wrapped = export(network, file, (height, width))
                if self.weights is not None:  # random ones score all boxes alike, in no order
                    share = answers_alike(wrapped, file, (height, width))
                made = OnnxModel(path=str(file)).load(out, signature, seed, job)
            except ModelError as error:
                said = str(error).rpartition(f"{file}: ")[2]
                raise ModelError(f"model.name: {self.name}: {said}") from error
        if job is not None and self.weights is not None:
            job.facts["parity"] = {"boxes_alike": share, "examples": 1}
        if job is not None and own[0] not in (height, width):
            longer = "" if own[1] is None or own[1] == own[0] else f" to {own[1]}"
            job.add(
                "notes",
                f"pictures are {height}x{width}, and torchvision gives this network ones of {own[0]}{longer} pixels: "
                f"published weights know their objects at that size (data.image_size={own[0]})",
            )
        return made


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
