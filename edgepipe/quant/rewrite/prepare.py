"""A float ONNX graph made ready for quantization: batch norm folded, constants folded, nodes named."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import numpy_helper, version_converter

from edgepipe.base.scratch import scratch
from edgepipe.errors import PassError
from edgepipe.onnx.files import load
from edgepipe.onnx.names import fresh, make_room, name_nodes
from edgepipe.onnx.session import Session
from edgepipe.onnx.session_options import quiet_options
from edgepipe.onnx.subgraphs import all_graphs
from edgepipe.onnx.wiring import drop_unread

QUANTIZED = {
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
    "MatMulNBits",
}


def prepare(file: Path, label: str) -> onnx.ModelProto:
    """Load a float model as ONNX Runtime's machine-independent optimizations leave it.

    They fold constants, batch norm and scalings into convolutions, and drop what does nothing.

    Raises:
        PassError: the model is quantized already, or too old to be quantized.
    """
    model = load(file)
    found = sorted({node.op_type for node in model.graph.node} & QUANTIZED)
    if found:
        raise PassError(
            f"passes.{label}: the model is quantized already (it has {found[0]}). Remove one of the two steps"
        )
    opset = next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), 0)
    if opset < 13:  # per-channel DequantizeLinear came with opset 13
        try:
            model = version_converter.convert_version(model, 13)
        except Exception as error:
            raise PassError(
                f"passes.{label}: the model has opset {opset}; int8 per channel needs 13, and converting failed: "
                f"{str(error)[:200]}. Export it again with a newer opset"
            ) from None
    model = _optimized(model)
    _constants_to_initializers(model)
    _means_to_pools(model)
    _drop_unused_imports(model)
    name_nodes(model.graph)
    make_room(model.graph)
    del model.graph.value_info[:]
    return model


def _optimized(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime import GraphOptimizationLevel

    with scratch("prepare") as folder:
        source, target = folder / "in.onnx", folder / "out.onnx"
        onnx.save(model, source)
        options = quiet_options()
        options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        Session(source, options, name="the graph")
        return load(target)


def _constants_to_initializers(model: onnx.ModelProto) -> None:
    """Inside of If, Loop and Scan, too: there some networks keep all their weights."""
    for graph in all_graphs(model.graph):
        kept = []
        for node in graph.node:
            value = next((item for item in node.attribute if item.name == "value"), None)
            if node.op_type == "Constant" and value is not None:
                graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(value.t), node.output[0]))
            else:
                kept.append(node)
        if len(kept) < len(graph.node):
            del graph.node[:]
            graph.node.extend(kept)


def _means_to_pools(model: onnx.ModelProto) -> None:
    """A mean over height and width as GlobalAveragePool: it has an int8 kernel, ReduceMean has none."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    rank = {
        item.name: len(item.type.tensor_type.shape.dim)
        for item in (*inferred.value_info, *inferred.input)
        if item.type.tensor_type.HasField("shape")
    }
    constants = {item.name: item for item in model.graph.initializer}
    taken = {*constants, *rank, *(name for node in model.graph.node for name in (*node.input, *node.output))}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "ReduceMean" or rank.get(node.input[0]) != 4 or _mean_axes(node, constants) != {2, 3}:
            nodes.append(node)
            continue
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        flat = not attributes.get("keepdims", 1)
        pooled = fresh(f"{node.output[0]}_pooled", taken) if flat else node.output[0]
        nodes.append(onnx.helper.make_node("GlobalAveragePool", [node.input[0]], [pooled], name=node.name))
        if flat:
            nodes.append(onnx.helper.make_node("Flatten", [pooled], [node.output[0]], axis=1))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unread(model.graph)


def _mean_axes(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> set[int]:
    """Axes of a mean over a tensor of four axes, counted from the front; an attribute before opset 18."""
    axes = next((list(item.ints) for item in node.attribute if item.name == "axes"), None)
    if axes is None and len(node.input) > 1 and node.input[1] in constants:
        axes = numpy_helper.to_array(constants[node.input[1]]).reshape(-1).tolist()
    return {int(axis) % 4 for axis in axes or ()}


def _drop_unused_imports(model: onnx.ModelProto) -> None:
    used = {node.domain for graph in all_graphs(model.graph) for node in graph.node} | {""}
    imports = [item for item in model.opset_import if item.domain in used or item.domain == "ai.onnx"]
    del model.opset_import[:]
    model.opset_import.extend(imports)
