"""Batch norm that no convolution absorbs, as a convolution: it has an int8 kernel, batch norm has none."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgepipe.onnx.wiring import Wiring, attribute, drop_unread


def norms_to_convolutions(model: onnx.ModelProto) -> int:
    """Write BatchNormalization of pictures as depthwise 1x1 convolutions, in place; how many there were.

    Networks that normalize before they convolve (DenseNet, pre-activation ResNet) keep theirs after folding.
    ONNX Runtime does the same to them in float when it optimizes a graph, so float loses nothing.
    """
    wiring = Wiring(model)
    ranks = _ranks(model)
    done = 0
    for node in model.graph.node:
        if node.op_type != "BatchNormalization" or ranks.get(node.input[0]) != 4 or len(node.output) > 1:
            continue
        values = [wiring.array(name) for name in node.input[1:5]]
        if attribute(node, "training_mode", 0) or any(value is None for value in values):
            continue
        scale, bias, mean, variance = (np.asarray(value, np.float64) for value in values)
        slope = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
        constants = {
            f"{node.name}_slope": slope.reshape(-1, 1, 1, 1),
            f"{node.name}_shift": bias - mean * slope,
        }
        model.graph.initializer.extend(
            numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()
        )
        node.input[1:] = list(constants)
        node.op_type = "Conv"
        del node.attribute[:]
        node.attribute.extend(
            [helper.make_attribute("group", len(slope)), helper.make_attribute("kernel_shape", [1, 1])]
        )
        done += 1
    if done:
        drop_unread(model.graph)
    return done


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    return {
        item.name: len(item.type.tensor_type.shape.dim)
        for item in (*inferred.input, *inferred.value_info)
        if item.type.tensor_type.HasField("shape")
    }
