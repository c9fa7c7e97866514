"""A model source: fully connected layers written down as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from edgepipe.contract import ONNX_FILE, Artifact, Job, Kind, ModelSource, PathText, Signature, seal
from edgepipe.contract.artifact import file_sha256
from edgepipe.errors import ModelError


class LayersModel(ModelSource):
    """Fully connected layers from a JSON file, [{"weights": [[…]], "bias": […]}, …]: ReLU between, a sigmoid behind."""

    kind: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("onnx",)

    path: PathText = Field(description="the .json file")

    def digests(self) -> dict[str, Any]:
        if not Path(self.path).is_file():
            raise ModelError(f"model.path: {self.path} is no file")
        return {"layers": file_sha256(Path(self.path))}

    def load(self, out: Path, signature: Signature, seed: int, job: Job | None = None) -> Artifact:
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        layers = [
            (np.array(layer["weights"], np.float32), np.array(layer["bias"], np.float32))
            for layer in json.loads(Path(self.path).read_text(encoding="utf-8"))
        ]
        (features,) = signature.input_shape
        if layers[0][0].shape[1] != features:
            raise ModelError(f"model.path: {self.path} takes {layers[0][0].shape[1]} features, the data has {features}")
        nodes, stored, name = [], [], "features"
        for number, (weights, bias) in enumerate(layers):
            stored += [numpy_helper.from_array(weights, f"w{number}"), numpy_helper.from_array(bias, f"b{number}")]
            nodes.append(helper.make_node("Gemm", [name, f"w{number}", f"b{number}"], [f"sum{number}"], transB=1))
            last = number + 1 == len(layers)
            name = "tags" if last else f"out{number}"
            nodes.append(helper.make_node("Sigmoid" if last else "Relu", [f"sum{number}"], [name]))
        ends = [
            [helper.make_tensor_value_info(end, TensorProto.FLOAT, ("batch", size))]
            for end, size in (("features", features), ("tags", len(layers[-1][1])))
        ]
        graph = helper.make_graph(nodes, "layers", *ends, stored)
        opsets = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), out / ONNX_FILE)
        return seal(out, self.kind, signature)
