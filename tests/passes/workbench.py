"""Runs one pass at a time on a small trained-from-nothing network and digits of 32 pixels."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgepipe.contract import Dataset, Job, Pass, Split
from edgepipe.contract.artifact import Artifact
from edgepipe.data.digits import DigitsData
from edgepipe.onnx.answers import session_answers
from edgepipe.passes.lower import Lower
from edgepipe.sources.torchvision import TorchvisionModel
from edgepipe.torch import artifact as torch_artifact
from edgepipe.torch.factory import trust


def small_network(classes: int = 10) -> torch.nn.Module:
    """Two convolutions, a residual and a classifier: trains an epoch of digits in a fraction of a second."""
    return _Small(classes)


class _Small(torch.nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = torch.nn.Sequential(
            torch.nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False), torch.nn.BatchNorm2d(32), torch.nn.ReLU()
        )
        self.block = torch.nn.Sequential(
            torch.nn.Conv2d(32, 48, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(48),
            torch.nn.ReLU(),
            torch.nn.Conv2d(48, 32, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(32),
        )
        self.relu = torch.nn.ReLU()
        self.pool = torch.nn.AdaptiveAvgPool2d(1)
        self.fc = torch.nn.Linear(32, classes)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        stem = self.stem(inputs)
        return self.fc(self.pool(self.relu(stem + self.block(stem))).flatten(1))


class Workbench:
    """Holds data and a loaded network; `do` applies a pass in a folder of its own."""

    def __init__(self, folder: Path, name: str = "resnet18", *, small: bool = False, classes: int = 10) -> None:
        self.folder = folder
        size = 16 if small else 32
        self.data: Dataset = DigitsData(image_size=size, workers=0, calibration_size=40).open(folder / "cache")
        self._numbers = itertools.count()
        out = folder / "loaded"
        out.mkdir(parents=True)
        if small:
            torch.manual_seed(0)
            base: dict[str, Any] = {
                "source": "python",
                "factory": "tests.passes.workbench:small_network",
                "kwargs": {"classes": classes},
            }
            trust(base["factory"], base["kwargs"])
            self.loaded = torch_artifact.write(
                small_network(classes), torch_artifact.new_architecture(base), out, self.data.signature
            )
        else:
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
        return next(self.data.batches(Split.EVALUATION, count)).only

    def torch_logits(self, model: Artifact) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(torch_artifact.build(model).eval()(torch.from_numpy(self.inputs())))

    def onnx_logits(self, model: Artifact | Path) -> NDArray[np.float32]:
        return np.asarray(session_answers(model if isinstance(model, Path) else model.onnx)(self.inputs()))

    def accuracy(self, logits: NDArray[np.float32]) -> float:
        labels = self.data.labels(Split.EVALUATION)
        assert labels is not None
        return float((logits.argmax(1) == labels[: len(logits)]).mean())

    def weight(self, model: Artifact) -> torch.Tensor:
        """The first parameter of a torch artifact."""
        return next(torch_artifact.build(model).parameters()).detach()
