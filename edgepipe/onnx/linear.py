"""scikit-learn's linear models as matrix products, which every runtime computes and int8 passes understand."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgepipe.onnx.wiring import Wiring


def linear_to_gemm(model: onnx.ModelProto) -> None:
    """Replace LinearClassifier (its scores only) and LinearRegressor by Gemm and Softmax, in place.

    A classifier whose labels are still read, or with another link function, stays as it is.
    Source: ONNX operators of ai.onnx.ml.
    """
    wiring = Wiring(model)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes += _rewritten(node, model, wiring) or [node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _rewritten(node: onnx.NodeProto, model: onnx.ModelProto, wiring: Wiring) -> list[onnx.NodeProto] | None:
    values: dict[str, Any] = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    if node.op_type == "Normalizer" and values.get("norm") == b"L1" and _is_softmax(node.input[0], model):
        return [helper.make_node("Identity", [node.input[0]], [node.output[0]], node.name)]
    if node.op_type not in ("LinearClassifier", "LinearRegressor"):
        return None
    link = values.get("post_transform", b"NONE")
    classifies = node.op_type == "LinearClassifier"
    bias = np.asarray(values.get("intercepts", ()), np.float32)
    weights = np.asarray(values["coefficients"], np.float32)
    if link not in (b"NONE", b"SOFTMAX") or bias.size == 0 or (classifies and wiring.is_read(node.output[0])):
        return None
    if classifies and bias.size != max(
        len(values.get("classlabels_ints", ())), len(values.get("classlabels_strings", ()))
    ):
        return None
    scores = node.output[1] if classifies else node.output[0]
    name = node.name or scores
    model.graph.initializer.append(numpy_helper.from_array(weights.reshape(bias.size, -1), f"{name}_weight"))
    model.graph.initializer.append(numpy_helper.from_array(bias, f"{name}_bias"))
    raw = f"{name}_raw" if link == b"SOFTMAX" else scores
    gemm = helper.make_node("Gemm", [node.input[0], f"{name}_weight", f"{name}_bias"], [raw], name, transB=1)
    if link == b"NONE":
        return [gemm]
    return [gemm, helper.make_node("Softmax", [raw], [scores], f"{name}_softmax", axis=1)]


def _is_softmax(name: str, model: onnx.ModelProto) -> bool:
    """Whether a tensor's rows sum to 1 already, so that L1 normalization changes nothing."""
    for node in model.graph.node:
        if name in node.output:
            link = next((item.s for item in node.attribute if item.name == "post_transform"), b"")
            return node.op_type == "Softmax" or (node.op_type == "LinearClassifier" and link == b"SOFTMAX")
    return False
