"""Runs one pass at a time on a small trained-from-nothing network and digits of 32 pixels."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgepipe.artifact import Artifact
from edgepipe.contract import DataSource, Job, Pass, Split
from edgepipe.data.digits import DigitsData
from edgepipe.models import torch_artifact
from edgepipe.models.lower import session_answers
from edgepipe.models.torchvision import TorchvisionModel
from edgepipe.passes.lower import Lower


class Workbench:
    """Holds data and a loaded network; `do` applies a pass in a folder of its own."""

    def __init__(self, folder: Path, name: str = "resnet18") -> None:
        self.folder = folder
        self.data: DataSource = DigitsData(image_size=32, workers=0, calibration_size=40).open(folder / "cache")
        self._numbers = itertools.count()
        out = folder / "loaded"
        out.mkdir(parents=True)
        self.loaded = TorchvisionModel(name=name).load(out, self.data.signature, 0)

    def job(self, **more: Any) -> Job:
        base = self.folder / f"job{next(self._numbers)}"
        for name in ("out", "state"):
            (base / name).mkdir(parents=True)
        return Job(
            **{"out": base / "out", "state": base / "state", "data": self.data, "seed": 0, "label": "it", **more}
        )

    def do(self, what: Pass, model: Artifact, **more: Any) -> tuple[Artifact, Job]:
        job = self.job(**more)
        return what.apply(model, job), job

    def lowered(self, model: Artifact) -> Artifact:
        return self.do(Lower(), model)[0]

    def inputs(self, count: int = 32) -> NDArray[np.float32]:
        return next(self.data.batches(Split.EVALUATION, count)).inputs

    def torch_logits(self, model: Artifact) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(torch_artifact.build(model).eval()(torch.from_numpy(self.inputs())))

    def onnx_logits(self, model: Artifact | Path) -> NDArray[np.float32]:
        return np.asarray(session_answers(model if isinstance(model, Path) else model.onnx)(self.inputs()))

    def accuracy(self, logits: NDArray[np.float32]) -> float:
        labels = self.data.labels(Split.EVALUATION)
        assert labels is not None
        return float((logits.argmax(1) == labels[: len(logits)]).mean())
