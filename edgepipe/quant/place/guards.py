"""Layers that were chosen to stay float, kept float in the runtime too."""

from __future__ import annotations

import onnx
from onnx import helper

from edgepipe.onnx.wiring import Wiring, is_unknown_pool

_FUSED = ("Relu", "Clip")
"""WeightBiasQuantization looks through these, since an int8 kernel's range performs them."""
_MOVING = ("MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Flatten", "Identity", "Dropout")
"""QDQPropagation carries quantization over these in both directions, and some are optimized away."""


def guard_floats(model: onnx.ModelProto) -> int:
    """Part float convolutions, Gemms and unknown pools from the QuantizeLinear behind, in place; how many there were.

    Between a DequantizeLinear and a QuantizeLinear, ONNX Runtime (WeightBiasQuantization, read and measured in 1.31)
    makes an int8 kernel of a float layer when it loads the file, and rounds its weights itself, with one scale for
    all; a ReLU or Clip may stand between, and what only moves values. A Sum of one operand changes no value, is not
    optimized away, and stops that. It stands directly before the QuantizeLinear, so that the float layer is still
    fused with the activation behind it.
    """
    wiring = Wiring(model)
    before: dict[int, onnx.NodeProto] = {}
    done = 0
    for node in model.graph.node:
        weighted = node.op_type in ("Conv", "ConvTranspose", "Gemm") and wiring.array(node.input[1]) is not None
        if not weighted and not (node.op_type == "AveragePool" and is_unknown_pool(node)):
            continue
        if not _behind_dequantize(node, wiring):
            continue
        end = _quantize_behind(node, wiring)
        if end is None:
            continue
        done += 1
        name = end.input[0]
        before[id(end)] = helper.make_node("Sum", [name], [f"{name}_unquantized"], f"{node.name}_stays_float")
        end.input[0] = f"{name}_unquantized"
    if done:
        nodes = [item for node in model.graph.node for item in (before.get(id(node)), node) if item is not None]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return done


def _behind_dequantize(node: onnx.NodeProto, wiring: Wiring) -> bool:
    maker = wiring.producer.get(node.input[0])
    while maker is not None and maker.op_type in _MOVING:
        maker = wiring.producer.get(maker.input[0])
    return maker is not None and maker.op_type == "DequantizeLinear"


def _quantize_behind(node: onnx.NodeProto, wiring: Wiring) -> onnx.NodeProto | None:
    """The QuantizeLinear that a layer's output reaches unbranched."""
    reader = wiring.sole_consumer(node.output[0])
    while reader is not None and reader.op_type in (*_FUSED, *_MOVING):
        reader = wiring.sole_consumer(reader.output[0])
    return reader if reader is not None and reader.op_type == "QuantizeLinear" else None
