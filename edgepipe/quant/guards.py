"""Layers that were chosen to stay float, kept float in the runtime too."""

from __future__ import annotations

import onnx
from onnx import helper

from edgepipe.quant.wiring import Wiring


def guard_floats(model: onnx.ModelProto) -> int:
    """Part each float convolution or Gemm from the QuantizeLinear behind it, in place; how many there were.

    Between a DequantizeLinear and a QuantizeLinear, ONNX Runtime (WeightBiasQuantization, measured in 1.31) makes an
    int8 kernel of a float layer when it loads the file, and rounds its weights itself, with one scale for all. A Sum
    of one operand changes no value, is not optimized away, and stops that.
    """
    wiring = Wiring(model)
    nodes: list[onnx.NodeProto] = []
    done = 0
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm") or wiring.array(node.input[1]) is None:
            continue
        maker, reader = wiring.producer.get(node.input[0]), wiring.sole_consumer(node.output[0])
        if maker is None or maker.op_type != "DequantizeLinear" or reader is None or reader.op_type != "QuantizeLinear":
            continue
        name, done = node.output[0], done + 1
        node.output[0] = f"{name}_unquantized"
        nodes.append(helper.make_node("Sum", [node.output[0]], [name], f"{node.name}_stays_float"))
    if done:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return done
