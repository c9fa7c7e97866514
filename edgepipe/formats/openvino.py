"""OpenVINO IR (`openvino.xml`, `openvino.bin`), for Intel processors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepipe.errors import PassError
from edgepipe.onnx.answers import Answers
from edgepipe.onnx.batch_axis import answered, batch_axis
from edgepipe.onnx.tensor_types import cast

XML = "openvino.xml"
_LAYERS = {"Convolution", "GroupConvolution", "FullyConnected", "MatMul"}


def write(onnx_file: Path, out: Path, int8_layers: int) -> tuple[list[Path], Answers, dict[str, Any]]:
    """Write the IR and open it again.

    Q/DQ pairs become OpenVINO's own, weights stay int8 in the file. float32 is asked for where it computes in
    float: on processors with bf16 it would quietly take that. Source: OpenVINO, "Low-precision transformations".

    Args:
        int8_layers: layers that ONNX Runtime runs in int8; as many must run in int8 here.
    Returns:
        The files, a function that answers as the file does, and what is worth recording.
    Raises:
        PassError: OpenVINO cannot read the model, or would run int8 layers in float.
    """
    import openvino as ov

    core = ov.Core()
    try:
        ov.save_model(ov.convert_model(str(onnx_file)), out / XML, compress_to_fp16=False)
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
    request = compiled.create_infer_request()
    output = compiled.output(0)

    wanted = compiled.input(0).element_type.to_dtype()
    first = compiled.input(0).get_partial_shape()[0]
    fixed = None if first.is_dynamic else first.get_length()
    axis: list[int | None] = []

    def run(inputs: NDArray[Any]) -> NDArray[Any]:
        return np.array(request.infer([cast(inputs, wanted, XML)])[output])

    def answers(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        if not axis:
            axis.append(batch_axis(run, inputs[:4], fixed))
        return answered(run, inputs, fixed, axis[0])

    return [out / XML, (out / XML).with_suffix(".bin")], answers, {"int8_layers": int8, "layers": len(layers)}
