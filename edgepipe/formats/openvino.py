"""OpenVINO IR (`openvino.xml`, `openvino.bin`), for Intel processors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edgepipe.contract import Format, Written
from edgepipe.errors import PassError
from edgepipe.formats.asking import Arrays, Ends, in_batches
from edgepipe.onnx.tensor_types import cast

XML = "openvino.xml"
_LAYERS = {"Convolution", "GroupConvolution", "FullyConnected", "MatMul"}


class OpenVino(Format):
    """OpenVINO's own files, for Intel processors; needs the extra `openvino`.

    Q/DQ pairs become OpenVINO's own, weights stay int8 in the file. float32 is asked for where it computes in
    float: on processors with bf16 it would quietly take that. Source: OpenVINO, "Low-precision transformations".
    """

    needs: ClassVar[Mapping[str, str]] = {"openvino": "pip install 'edgepipe[openvino]'"}
    libraries: ClassVar[tuple[str, ...]] = ("openvino",)

    def write(self, onnx: Path, out: Path, int8_layers: int) -> Written:
        import openvino as ov

        core = ov.Core()
        try:
            ov.save_model(ov.convert_model(str(onnx)), out / XML, compress_to_fp16=False)
            compiled = core.compile_model(core.read_model(out / XML), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        except Exception as error:  # the runtime's exceptions share no base below Exception
            raise PassError(f"openvino: the model cannot be converted: {str(error).strip()[:300]}") from None
        layers = [
            str(node.get_rt_info()["runtimePrecision"].astype(str))
            for node in compiled.get_runtime_model().get_ops()
            if node.get_rt_info()["layerType"].astype(str) in _LAYERS
        ]
        int8 = sum(precision in ("i8", "u8") for precision in layers)
        if int8 < int8_layers:
            raise PassError(
                f"openvino: {int8_layers} layers run in int8 in ONNX Runtime, {int8} of {len(layers)} in OpenVINO: the "
                "rest would quietly run in float. Leave openvino out of `formats`"
            )
        ends, request = Ends.of(onnx), compiled.create_infer_request()
        inputs = {item.name: _port(compiled.inputs, item.name, at) for at, item in enumerate(ends.inputs)}
        outputs = {item.name: _port(compiled.outputs, item.name, at) for at, item in enumerate(ends.outputs)}

        def run(given: Arrays) -> Arrays:
            fed = {port: cast(given[name], port.element_type.to_dtype(), XML) for name, port in inputs.items()}
            found = request.infer(fed)
            return {name: np.array(found[port]) for name, port in outputs.items()}

        files = (out / XML, (out / XML).with_suffix(".bin"))
        return Written(files, in_batches(ends, run, XML), {"int8_layers": int8, "layers": len(layers)})


def _port(ports: Any, name: str, at: int) -> Any:
    """The port of a tensor: by its name, else by its place, for a rewriting may have renamed it."""
    return next((port for port in ports if name in port.get_names()), ports[at])
