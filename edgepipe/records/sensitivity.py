"""What `edgepipe sensitivity` writes: how the whole model answers with one layer alone quantized or pruned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, JsonValue, model_validator

from edgepipe.records.metrics import Environment
from edgepipe.records.quality import Record, TaskRecord


class LayerEffect(Record):
    """One layer alone quantized, or one group of layers alone pruned: how the whole model then answers."""

    name: str = Field(description="the layer's weight, without what exporters append; of a group, its layers")
    node: str | None = Field(None, description="name of the ONNX node, as `exclude` wants it; null: pruned, not int8")
    operator: str
    weight_shape: list[int]
    macs: int = Field(description="multiply-accumulates of the layer for one example; of a group, those removed")
    sqnr_db: float | None = Field(
        None, description="decibels: energy of the float outputs over energy of the error; null: no error at all"
    )
    error_share: float = Field(description="share of what the layers, each alone, make together; in [0, 1]")
    alike: float | None = Field(None, description="share answered as the float model answers")
    quality: dict[str, float] = Field(default={}, description="by measure of the task; empty without labels")
    int8: bool = Field(True, description="whether the recipe's settings run it in int8")
    float_bytes: int = Field(0, description="bytes that the file grows by if the layer stays float; pruned: it saves")
    float_ms: float | None = Field(
        None, description="milliseconds that keeping it float adds by the table of kernel costs: an estimate"
    )

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, content: Any) -> Any:
        """What schema 1 called agreement and top1."""
        if not isinstance(content, Mapping):
            return content
        found = dict(content)
        if found.get("alike") is None:
            found["alike"] = found.get("agreement")
        if not found.get("quality") and found.get("top1") is not None:
            found["quality"] = {"top1": found["top1"]}
        return found


class Sensitivity(Record):
    """What `edgepipe sensitivity` finds: every layer alone, the worst first."""

    recipe: str
    examples: int = Field(description="evaluation examples that the answers rest on")
    calibration_examples: int
    label: str = Field(description="the step of the recipe that quantizes")
    settings: dict[str, JsonValue] = Field(default={})
    task: TaskRecord | None = None
    quality: dict[str, float] = Field(default={}, description="of the float model on the same examples, by measure")
    every: LayerEffect | None = Field(None, description="all layers at once, as the recipe's settings place them")
    layers: list[LayerEffect] = Field(default=[])
    prune_label: str | None = None
    prune_ratio: float | None = None
    prune_quality: dict[str, float] = Field(default={}, description="of the network before it is pruned, by measure")
    pruned: list[LayerEffect] = Field(default=[])
    seconds: float = 0.0
    environment: Environment

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, content: Any) -> Any:
        """What schema 1 called top1."""
        if not isinstance(content, Mapping):
            return content
        found = dict(content)
        for new, old in (("quality", "top1"), ("prune_quality", "prune_top1")):
            if not found.get(new) and found.get(old) is not None:
                found[new] = {"top1": found[old]}
        return found
