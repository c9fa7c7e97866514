"""Whether a graph computes on 8-bit integers from its first layer to its last."""

from __future__ import annotations

from pathlib import Path

from edgepipe.base.scratch import scratch
from edgepipe.onnx.graph import MOVES, Graph
from edgepipe.onnx.operators import INT8_LAYERS
from edgepipe.onnx.session import Session
from edgepipe.onnx.session_options import measuring

# Sums and products of integers, and one rounding each: the same everywhere. The int8 forms of Sigmoid and
# Softmax are tables made with the platform's exp, and dynamic quantization takes ranges from floats: not here.
_EXACT = (INT8_LAYERS - {"ConvInteger", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"}) | {
    "QLinearAdd",
    "QLinearMul",
    "QLinearLeakyRelu",
    "QLinearGlobalAveragePool",
    "QLinearAveragePool",
    "QLinearConcat",
}
_MOVING = (MOVES - {"Cast"}) | {
    "MaxPool",
    "NhwcMaxPool",
    "Relu",
    "Clip",
    "Concat",
    "Slice",
    "Split",
    "Pad",
    "Gather",
    "Expand",
    "Tile",
}
_EDGES = {"QuantizeLinear", "DequantizeLinear"}


def float_operators(model: Path) -> list[str]:
    """Operators of the graph that ONNX Runtime really runs which compute on floats; none: fully int8.

    Quantizing the input and dequantizing the output do not count: each is one rounding.

    Raises:
        MeasureError: the runtime cannot open the model.
    """
    with scratch("graph") as folder:
        target = folder / "optimized.onnx"
        options = measuring(1)
        options.optimized_model_filepath = str(target)
        Session(model, options)
        nodes = Graph.load(target).nodes
    return sorted({node.op_type for node in nodes} - _EXACT - _MOVING - _EDGES)
