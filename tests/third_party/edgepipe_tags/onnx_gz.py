"""A format: the ONNX file, compressed for the way."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray
from pydantic import Field

from edgepipe.contract import Format, Written


class OnnxGz(Format):
    """The ONNX file in gzip; whoever runs it unpacks it first."""

    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    exact: ClassVar[bool] = True

    level: int = Field(9, ge=0, le=9, description="9: smallest")

    def write(self, onnx: Path, out: Path, int8_layers: int) -> Written:
        path = out / "model.onnx.gz"
        path.write_bytes(gzip.compress(onnx.read_bytes(), self.level, mtime=0))
        session = _session(gzip.decompress(path.read_bytes()))

        def answers(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            names = [output.name for output in session.get_outputs()]
            given = [item.name for item in session.get_inputs()]
            values = dict(zip(given, inputs.values(), strict=True)) if len(given) == 1 else dict(inputs)
            return dict(zip(names, session.run(None, values), strict=True))

        return Written((path,), answers, {"level": self.level})


def _session(model: bytes) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
