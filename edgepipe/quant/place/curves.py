"""Functions of one value that ONNX Runtime has no int8 kernel for, written so that it uses another's.

`LeakyRelu` has one (it looks 256 results up) whose input and output scales are free, and that is enough:

- HardSigmoid(x) = clip(a x + b, 0, 1) is what rounding to uint8 does anyway. With slope 1 LeakyRelu only moves x to
  the scale s/a and the zero point b/s; the result, read as scale s and zero point 0, is HardSigmoid(x).
- Relu is LeakyRelu with slope 0.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgepipe.onnx.wiring import Wiring, attribute, drop_unread
from edgepipe.quant.place.placement import Placement


def lookups(model: onnx.ModelProto, placement: Placement) -> None:
    """Rewrite the placed HardSigmoid and Relu nodes of a graph with Q/DQ pairs, in place."""
    wiring = Wiring(model)
    for node in model.graph.node:
        if node.name not in placement.nodes or node.op_type not in ("HardSigmoid", "Relu"):
            continue
        slope = 0.0
        if node.op_type == "HardSigmoid":
            slope = 1.0
            _read_otherwise(model, wiring, node)
        del node.attribute[:]
        node.op_type = "LeakyRelu"
        node.attribute.append(helper.make_attribute("alpha", slope))
    drop_unread(model.graph)  # the scales that were replaced


def _read_otherwise(model: onnx.ModelProto, wiring: Wiring, node: onnx.NodeProto) -> None:
    """Quantize alpha * x + beta over [0, 1] by the scale of x alone."""
    alpha, beta = attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)
    scale = np.float32(1 / 255)
    quantize = next(user for user in wiring.consumers[node.output[0]] if user.op_type == "QuantizeLinear")
    dequantize = next(user for user in wiring.consumers[quantize.output[0]] if user.op_type == "DequantizeLinear")
    # b / s need not be whole: half a step of 1/255 is lost, as in any rounding to 8 bits.
    quantize.input[1:] = _constants(model, node.name, "in", scale / np.float32(alpha), round(beta * 255))
    dequantize.input[1:] = _constants(model, node.name, "out", scale, 0)


def _constants(model: onnx.ModelProto, name: str, side: str, scale: np.float32, zero: int) -> list[str]:
    names = [f"{name}_{side}_scale", f"{name}_{side}_zero"]
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(scale, np.float32), names[0]))
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(zero, np.uint8), names[1]))
    return names
