"""How many layers of a file compute on 8-bit integers."""

from __future__ import annotations

from pathlib import Path

import onnx


def int8_layers(file: Path) -> int:
    """Convolutions and matrix products with 8-bit weights, as Q/DQ or as integer operators."""
    graph = onnx.load(file).graph
    eight = {
        item.name for item in graph.initializer if item.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    }
    weights = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in eight}
    return sum(
        node.op_type in ("MatMulInteger", "ConvInteger", "QLinearConv", "QLinearMatMul")
        or (node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in weights)
        for node in graph.node
    )
