"""A place of proof: the runtime of this machine with all its rewriting of graphs switched off."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from edgepipe.contract import Place, PlaceAnswers, Processor


class PlainCpu(Place):
    """ONNX Runtime here, its graph optimizations switched off."""

    def lacking(self) -> str | None:
        return None

    def processors(self) -> Sequence[Processor]:
        return (_Plain(),)


class _Plain:
    timed: ClassVar[bool] = False
    name = "ONNX Runtime, nothing optimized"
    threads = 1

    def identity(self) -> dict[str, str]:
        import onnxruntime

        return {"onnxruntime": onnxruntime.__version__}

    def answer(self, model: Path, inputs: Path, count: int, work: Path, done: Callable[[int], None]) -> PlaceAnswers:
        import numpy as np
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        told = json.loads((inputs / "inputs.json").read_text(encoding="utf-8"))
        files = told if isinstance(told, list) else told["inputs"]
        given = {item["name"]: np.load(inputs / item["file"])[:count] for item in files}
        if len(given) == 1:
            given = {session.get_inputs()[0].name: next(iter(given.values()))}
        names = [output.name for output in session.get_outputs()]
        outputs = dict(zip(names, session.run(None, given), strict=True))
        done(count)
        return PlaceAnswers(outputs, f"onnxruntime {onnxruntime.__version__}")
