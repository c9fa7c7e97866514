"""Training in between: what gives accuracy back after each step of a schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field, JsonValue

from edgepipe.contract import Job
from edgepipe.contract.artifact import Artifact
from edgepipe.training.settings import GRAD_NORM, TrainingSettings


class Recovery(TrainingSettings):
    """Training after each step of a schedule; a budget of minutes is that of one step."""

    epochs: int = Field(1, ge=1, description="passes over the train split after each step")
    lr: float = Field(0.02, gt=0, description="largest learning rate")
    # One step along a rare, long gradient can cost a trained network more than an epoch gives back.
    max_grad_norm: float | None = Field(1.0, gt=0, description=GRAD_NORM)

    def run(self, network: Any, model: Artifact, job: Job, number: int, steps: int) -> list[Any]:
        """Train in place after step `number` of `steps`, resumable by itself; returns the curve."""
        from edgepipe.training.training import train  # imports torch, and a recipe is read without it

        def progress(share: float, text: str) -> None:
            job.progress((number + 0.3 + 0.7 * share) / steps, f"recovery {number + 1}/{steps}: {text}")

        part = replace(job, state=job.state / f"step{number}", progress=progress, facts={})
        curve = train(network, self, part, model.signature)
        points: list[JsonValue] = [{**point} for point in curve]
        job.add("curve", *points)
        job.add("recoveries", {key: value for key, value in part.facts.items() if key not in ("curve", "notes")})
        notes = part.facts.get("notes")
        job.add("notes", *(f"recovery {number + 1}: {text}" for text in (notes if isinstance(notes, list) else ())))
        return curve
