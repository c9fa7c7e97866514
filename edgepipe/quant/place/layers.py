"""How many layers of a file compute on 8-bit integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from edgepipe.errors import PassError
from edgepipe.onnx.files import load
from edgepipe.onnx.wiring import ANCHORS, Wiring
from edgepipe.quant.rewrite.recurrent import RECURRENT


def int8_layers(file: Path) -> int:
    """Convolutions and matrix products with 8-bit weights, as Q/DQ or as integer operators."""
    graph = load(file).graph
    eight = {
        item.name for item in graph.initializer if item.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    }
    weights = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in eight}
    return sum(
        node.op_type in ("MatMulInteger", "ConvInteger", "DynamicQuantizeLSTM", "QLinearConv", "QLinearMatMul")
        or (node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in weights)
        for node in graph.node
    )


def check_weights(model: onnx.ModelProto, label: str) -> None:
    """Refuse a weight of a convolution or matrix product that is no number.

    Raises:
        PassError: a weight holds NaN or infinity.
    """
    wiring = Wiring(model)
    for node in model.graph.node:
        for name in (
            node.input[1:3] if node.op_type in RECURRENT else node.input[1:2] if node.op_type in ANCHORS else ()
        ):
            weight = wiring.array(name)
            if weight is not None and not np.isfinite(weight).all():
                raise PassError(
                    f"passes.{label}: the weight '{name}' holds NaN or infinity. The float model is broken there"
                )
