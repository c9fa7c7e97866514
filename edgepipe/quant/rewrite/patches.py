"""Convolutions over patches that do not overlap, as matrix products: a transformer's first layer can then be int8."""

from __future__ import annotations

from collections.abc import Collection
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgepipe.onnx.wiring import Wiring, drop_unread

SMALLEST_SIDE = 4  # pixels; smaller patches are a network's inner downsampling, for which moving pictures costs more


def patches_to_products(model: onnx.ModelProto, exclude: Collection[str]) -> int:
    """Write Conv whose stride is its kernel, without padding, as a product of patches and weights; how many.

    (n, channels, height, width) is cut into (n, patches, channels * side * side); the result is put back into the
    layout of the convolution. In place. Source: Dosovitskiy et al., ViT, ICLR 2021, arXiv:2010.11929, equation 1.
    """
    wiring = Wiring(model)
    shapes = _shapes(model)
    nodes: list[onnx.NodeProto] = []
    done = 0
    for node in model.graph.node:
        weight = wiring.array(node.input[1]) if node.op_type == "Conv" and node.name not in exclude else None
        shape = shapes.get(node.input[0]) if weight is not None else None
        if weight is None or shape is None or not _cuts(node, weight.shape, shape):
            nodes.append(node)
            continue
        nodes += _product(model, node, weight, shape)
        done += 1
    if done:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        drop_unread(model.graph)
    return done


def _cuts(node: onnx.NodeProto, weight: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether the convolution sees every pixel once, in whole patches."""
    given: dict[str, Any] = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    sides = list(weight[2:])
    return (
        len(sides) == 2
        and min(sides) >= SMALLEST_SIDE
        and list(given.get("strides", [1, 1])) == sides
        and not any(given.get("pads", [0]))
        and given.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        and set(given.get("dilations", [1])) == {1}
        and given.get("group", 1) == 1
        and all(pixels % side == 0 for pixels, side in zip(shape[1:], sides, strict=True))
    )


def _product(model: onnx.ModelProto, node: onnx.NodeProto, weight: Any, shape: tuple[int, ...]) -> list[onnx.NodeProto]:
    result, name = node.output[0], node.name or node.output[0]
    out, channels, high, wide = weight.shape
    rows, columns = shape[1] // high, shape[2] // wide
    constants = {
        "cut": np.array([0, channels, rows, high, columns, wide]),  # 0: as many as come in
        "flat": np.array([0, rows * columns, channels * high * wide]),
        "weight": np.array(weight.reshape(out, -1).T, order="C"),
        "back": np.array([0, out, rows, columns]),
    }
    names = {key: f"{name}_patches_{key}" for key in constants}
    model.graph.initializer.extend(numpy_helper.from_array(value, names[key]) for key, value in constants.items())
    steps = [f"{result}_patches_{number}" for number in range(6)]
    made = [
        helper.make_node("Reshape", [node.input[0], names["cut"]], [steps[0]], f"{name}_cut"),
        helper.make_node("Transpose", [steps[0]], [steps[1]], f"{name}_gather", perm=[0, 2, 4, 1, 3, 5]),
        helper.make_node("Reshape", [steps[1], names["flat"]], [steps[2]], f"{name}_flat"),
        helper.make_node("MatMul", [steps[2], names["weight"]], [steps[3]], name),
    ]
    product = steps[3]
    if len(node.input) > 2 and node.input[2]:
        made.append(helper.make_node("Add", [product, node.input[2]], [steps[4]], f"{name}_bias"))
        product = steps[4]
    made += [
        helper.make_node("Transpose", [product], [steps[5]], f"{name}_channels", perm=[0, 2, 1]),
        helper.make_node("Reshape", [steps[5], names["back"]], [result], f"{name}_back"),
    ]
    return made


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """(channels, height, width) of every picture whose size is known."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    found: dict[str, tuple[int, ...]] = {}
    for item in (*inferred.input, *inferred.value_info):
        shape = tuple(dim.dim_value for dim in item.type.tensor_type.shape.dim)
        if len(shape) == 4 and prod(shape[1:]) > 0:
            found[item.name] = shape[1:]
    return found
