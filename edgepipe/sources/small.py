"""`model.source: small`: a small network to be trained from nothing, or from a checkpoint of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, JsonValue, model_validator

from edgepipe.contract import Job, ModelSource, Signature
from edgepipe.contract.artifact import Artifact, Kind
from edgepipe.contract.settings import PathText
from edgepipe.errors import ModelError
from edgepipe.sources.settings import file_digest
from edgepipe.torch.small.networks import NETWORKS, build_small


class SmallModel(ModelSource):
    """A small network of convolutions and ReLU, random: detector (YOLOX head), unet, espcn, ds_cnn."""

    kind: ClassVar[Kind] = Kind.TORCH
    libraries: ClassVar[tuple[str, ...]] = ("torch", "safetensors")

    name: Literal["detector", "unet", "espcn", "ds_cnn"] = Field(
        description="detector: boxes, unet: masks, espcn: larger pictures, ds_cnn: kinds of sounds"
    )
    width: int | None = Field(None, ge=4, le=512, description="channels of its first convolution; null: its usual")
    num_classes: int | None = Field(None, ge=1, description="classes; null: as many as the data names")
    scale: int | None = Field(None, ge=1, le=8, description="espcn: times that the picture is enlarged; null: 2")
    weights: PathText | None = Field(None, description="null: random; a .pth or .safetensors checkpoint")

    @model_validator(mode="after")
    def _only_what_it_has(self) -> SmallModel:
        given = ("num_classes", self.num_classes) if NETWORKS[self.name].scales else ("scale", self.scale)
        if given[1] is not None:
            raise ValueError(f"{given[0]}: '{self.name}' has none: leave it out")
        if self.name == "espcn" and (self.width or 4) % 2:
            raise ValueError("width: espcn halves it: give an even number")
        return self

    def digests(self) -> dict[str, JsonValue]:
        return {"weights": file_digest(self.weights, "model.weights")}

    def misfits(self, input_shape: tuple[int, ...]) -> list[tuple[str, str]]:
        least = NETWORKS[self.name].least
        if len(input_shape) == 3 and min(input_shape[1:]) >= least:
            return []
        return [("name", f"'{self.name}' takes (channels, height, width) from {least} on, not {list(input_shape)}")]

    @classmethod
    def network(cls, base: Mapping[str, Any]) -> Any:
        return build_small(str(base["name"]), int(base["channels"]), int(base["out"]), int(base["width"]))

    def load(self, out: Path, signature: Signature, seed: int, job: Job | None = None) -> Artifact:
        from edgepipe.torch import artifact as torch_artifact
        from edgepipe.torch.interface import seeded

        of = NETWORKS[self.name]
        if misfits := self.misfits(signature.input_shape):
            raise ModelError(f"model.{misfits[0][0]}: {misfits[0][1]}")
        answers = (self.scale or 2) if of.scales else (self.num_classes or len(signature.classes))
        if not answers:
            raise ModelError("model.num_classes: the data names no classes: set it, or name them in the data")
        channels, width = signature.input_shape[0], self.width or of.width
        how: dict[str, JsonValue] = {"name": self.name, "channels": channels, "out": answers, "width": width}
        base = {"source": "small", **how, "seed": seed}
        with seeded(seed):
            network = build_small(self.name, channels, answers, width)
        if self.weights is not None:
            torch_artifact.load_checkpoint(network, Path(self.weights), "Check model.name, width and num_classes")
        return torch_artifact.bring_in(network, base, out, signature, job)
