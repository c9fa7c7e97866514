"""Operators of TensorFlow that tf2onnx does not convert by itself; imported where it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from tf2onnx import utils
from tf2onnx.handler import tf_op


@tf_op("Erfc")
class Erfc:
    """1 - erf(x); TensorFlow's exact GELU is written with it."""

    @classmethod
    def version_9(cls, ctx: Any, node: Any, **_: Any) -> None:
        shapes, types, outputs = node.output_shapes, node.output_dtypes, node.output
        erf = ctx.make_node("Erf", [node.input[0]], shapes=shapes, dtypes=types)
        one = ctx.make_const(utils.make_name("one"), np.array(1, utils.map_onnx_to_numpy_type(types[0])))
        ctx.remove_node(node.name)
        ctx.make_node("Sub", [one.output[0], erf.output[0]], outputs=outputs, shapes=shapes, dtypes=types)
