"""`model.source: timm`: any of its networks of pictures, by name."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, JsonValue

from edgepipe.contract import Job, ModelSource, Signature
from edgepipe.contract.artifact import Artifact, Kind
from edgepipe.contract.guess import Guess, Sure
from edgepipe.contract.settings import PathText
from edgepipe.errors import ModelError
from edgepipe.sources.processor import differences
from edgepipe.sources.settings import file_digest, is_path
from edgepipe.torch.timm_networks import build_network, misfit, processor, unknown_name

PUBLISHED = "pretrained"


class TimmModel(ModelSource):
    """A network of timm, random, from a checkpoint, or with its published weights; 0 classes: its features."""

    kind: ClassVar[Kind] = Kind.TORCH
    libraries: ClassVar[tuple[str, ...]] = ("torch", "timm", "safetensors")

    name: str = Field(description="a network of timm, as in resnet18 or vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    weights: PathText | None = Field(
        None, description="null: random; a .safetensors or .pth checkpoint; pretrained: those of the name (downloads)"
    )
    num_classes: int | None = Field(
        None, ge=0, description="classes; 0: features; null: as many as the data names, else 1000"
    )

    @classmethod
    def guess(cls, given: str) -> Guess | None:
        if re.fullmatch(r"[a-z][a-z0-9_]*(\.\w+)?", given) is None or importlib.util.find_spec("timm") is None:
            return None
        return Guess({"name": given}, Sure.POSSIBLE, "a network of timm") if unknown_name(given) is None else None

    def digests(self) -> dict[str, JsonValue]:
        return {"weights": file_digest(self.weights, "model.weights")}

    def problems(self) -> list[tuple[str, str]]:
        wrong = unknown_name(self.name)
        if wrong is not None:
            return [("name", wrong)]
        if self.weights is not None and self.weights != PUBLISHED and not is_path(self.weights):
            return [("weights", f"'{self.weights}' is neither a checkpoint's file nor '{PUBLISHED}'")]
        return []

    def misfits(self, input_shape: tuple[int, ...]) -> list[tuple[str, str]]:
        wrong = misfit(self.name, input_shape)
        return [] if wrong is None else [("name", wrong)]

    @classmethod
    def network(cls, base: Mapping[str, Any]) -> Any:
        return build_network(str(base["name"]), int(base["num_classes"]))

    def load(self, out: Path, signature: Signature, seed: int, job: Job | None = None) -> Artifact:
        from edgepipe.torch import artifact as torch_artifact
        from edgepipe.torch.interface import seeded

        classes = (len(signature.classes) or 1000) if self.num_classes is None else self.num_classes
        with seeded(seed):
            network = self._published(classes) if self.weights == PUBLISHED else build_network(self.name, classes)
        if self.weights is not None and self.weights != PUBLISHED:
            torch_artifact.load_checkpoint(network, Path(self.weights), "Check model.name and model.num_classes")
        base = {"source": "timm", "name": self.name, "num_classes": classes, "seed": seed}
        try:
            artifact = torch_artifact.bring_in(network, base, out, signature, job)
        except ModelError as error:
            raise ModelError(f"model.name: {self.name}: {error}") from error
        said = differences(processor(self.name), signature.preprocessing) if self.weights is not None else []
        if job is not None and said:
            job.add(
                "notes",
                "pictures are prepared otherwise than for the published weights of this network, which matters where "
                f"model.weights are those, or were trained from them alike: {'; '.join(said)}",
            )
        return artifact

    def _published(self, classes: int) -> Any:
        try:
            return build_network(self.name, classes, pretrained=True)
        except ModelError:
            raise
        except Exception as error:  # whatever a download can do
            said = " ".join(str(error).split())[:200]
            raise ModelError(
                f"model.weights: the published weights of {self.name} could not be fetched ({said}). Fetch the "
                "checkpoint elsewhere and give its path, as in model.weights=model.safetensors"
            ) from None
