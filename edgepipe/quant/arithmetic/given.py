"""Puts given integers, scales and zero points into a graph that has its Q/DQ pairs already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgepipe.onnx.wiring import Wiring
from edgepipe.quant.arithmetic.affine import quantize

Weights = Mapping[str, tuple[NDArray[np.int8], NDArray[np.float32]]]


def put(
    model: onnx.ModelProto,
    activations: Mapping[str, tuple[float, int]],
    weights: Weights,
    biases: Mapping[str, NDArray[np.float32]],
) -> None:
    """Replace constants in place; the structure of the graph says which they are, not their names.

    Args:
        activations: scale and uint8 zero point by tensor.
        weights: int8 weights, shaped as stored, and float32 scales (channels,), by node.
        biases: float32 (channels,), by node; stored as int32 with scale s_x * s_w.
    """
    wiring = Wiring(model)
    constants, producer = wiring.constants, wiring.producer

    def set_to(name: str, value: NDArray[Any]) -> None:
        constants[name].CopyFrom(numpy_helper.from_array(np.asarray(value, order="C"), name))

    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            given = activations.get(node.input[0], activations.get(node.input[0].removesuffix("_float")))
            assert given is not None, f"nothing is known about the tensor {node.input[0]}"
            set_to(node.input[1], np.asarray(given[0], np.float32))
            set_to(node.input[2], np.asarray(given[1], np.uint8))
    for node in model.graph.node:
        if node.name not in weights:
            continue
        integers, scales = weights[node.name]
        read = producer[node.input[1]]
        assert read.op_type == "DequantizeLinear"
        set_to(read.input[0], integers)
        set_to(read.input[1], scales)
        if len(node.input) > 2 and node.name in biases:
            read = producer[node.input[2]]
            incoming = numpy_helper.to_array(constants[producer[node.input[0]].input[1]])
            scale = (scales * incoming.astype(np.float32)).astype(np.float32)
            set_to(read.input[0], quantize(biases[node.name], scale, 0, np.int32))
            set_to(read.input[1], scale)
