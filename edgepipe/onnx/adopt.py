"""A graph that another framework's converter wrote, made to take what the data gives and to answer in one output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgepipe.errors import ModelError, ParityError
from edgepipe.onnx.alike import alike
from edgepipe.onnx.files import load
from edgepipe.onnx.inputs import inputs_of
from edgepipe.onnx.layout import Layout
from edgepipe.onnx.linear import linear_to_gemm
from edgepipe.onnx.names import make_way, rename
from edgepipe.onnx.subgraphs import captured, read_instead
from edgepipe.onnx.wiring import Wiring, drop_unread

INPUT, OUTPUT = "input", "output"
_INVERSE = [0, 3, 1, 2]


def adopt(
    source: Path,
    target: Path,
    input_shape: tuple[int, ...],
    *,
    layout: Layout,
    output: str | None,
    examples: NDArray[np.float32],
    answers: NDArray[np.float32],
    tolerance: float,
    what: str,
) -> dict[str, Any]:
    """Write `target`: one input named `input`, (batch, *input_shape), one output named `output`.

    Args:
        layout: how the model wants the data's examples; what it takes is put in front of it, and a transpose
            that only undoes the one in front goes with it.
        output: the output that is kept; None: the only one.
        examples, answers: what the framework itself answered to the data's examples.
    Returns:
        `examples`, `largest_difference` (share of the largest answer) and `agreement` in [0, 1].
    Raises:
        ModelError: not one input, or not that output. ParityError: the graph answers otherwise.
    """
    from edgepipe.onnx.answers import session_answers
    from edgepipe.onnx.clean import clean
    from edgepipe.onnx.session import words

    model = load(source)
    wanted = [item.name for item in model.graph.output]
    if output is None and len(wanted) != 1:
        raise ModelError(f"{what}: has {len(wanted)} outputs ({', '.join(wanted)}); edgepipe needs exactly one")
    _keep_output(model, output or wanted[0])
    arrange_input(model, input_shape, layout, what)
    linear_to_gemm(model)
    _drop_unused(model)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    clean(model)
    unknown = {node.op_type for node in model.graph.node if not node.domain and not onnx.defs.has(node.op_type)}
    if unknown:
        raise ModelError(
            f"{what}: ONNX has no operator for {', '.join(sorted(unknown))}: take the layer that uses it out "
            "(augmentation, as in RandomFlip, belongs before the model) or write it with others"
        )
    try:
        onnx.checker.check_model(model)
        onnx.save(model, target)
        got = session_answers(target)(examples)
    except Exception as error:
        raise ModelError(
            f"{what}: what it was converted to does not run: {' '.join(words(error).split())[:300]}"
        ) from None
    found = alike(answers.reshape(len(answers), -1), got.reshape(len(got), -1))
    if not (found.one_shape and found.finite):
        before, now = found.shapes
        raise ParityError(f"{what}: answers {before} became {now} in ONNX, or are not finite")
    # One threshold of one tree, rounded to float32, may send one example another way: that is not a wrong layer.
    differs = found.differences / max(found.largest, 1e-12)
    trees = any(node.op_type.startswith("TreeEnsemble") for node in model.graph.node)
    share = float(np.quantile(differs, 0.98)) if trees else float(differs.max())
    if share > tolerance:
        raise ParityError(
            f"{what}: converted to ONNX it does not answer as in its framework: the largest difference is {share:.2g} "
            f"of the largest answer on {len(got)} examples (allowed: {tolerance:g}), {found.agreement:.1%} of the "
            "answers agree. A layer was converted wrongly; or raise model.tolerance"
        )
    return {"examples": len(got), "largest_difference": float(differs.max()), "agreement": found.agreement}


def _keep_output(model: onnx.ModelProto, name: str) -> None:
    kept = next((item for item in model.graph.output if item.name == name), None)
    if kept is None:
        raise ModelError(f"the converted graph has no output '{name}'")
    element = kept.type.tensor_type.elem_type
    shape = ["batch", *[dim.dim_value or None for dim in kept.type.tensor_type.shape.dim][1:]]
    del model.graph.output[:]
    rename(model.graph, name, OUTPUT)
    model.graph.output.append(helper.make_tensor_value_info(OUTPUT, element, shape))


def arrange_input(
    model: onnx.ModelProto,
    input_shape: tuple[int, ...],
    layout: Layout,
    what: str,
    name: str = INPUT,
    batch: str | int = "batch",
) -> None:
    """Give the graph an input of that name, (batch, *input_shape), in place; what its own input takes is made of it.

    Raises:
        ModelError: it has not one input.
    """
    inputs = inputs_of(model.graph)
    if len(inputs) != 1:
        names = ", ".join(item.name for item in inputs)
        raise ModelError(f"{what}: has {len(inputs)} inputs ({names}); edgepipe needs exactly one")
    element, old = inputs[0].type.tensor_type.elem_type, inputs[0].name
    del model.graph.input[:]
    inner = name if layout == "same" else f"{old}_{layout}"
    rename(model.graph, old, inner)
    if inner != name:
        make_way(model.graph, name)  # some tensor inside may have it
    model.graph.input.append(helper.make_tensor_value_info(name, element, [batch, *input_shape]))
    if layout == "same":
        return
    wiring = Wiring(model)
    undone = wiring.consumers[inner]
    if layout == "nhwc" and all(
        _undoes(model, node, input_shape) and node.output[0] not in wiring.outputs for node in undone
    ):
        for node in undone:  # channels first again at once: both go
            model.graph.node.remove(node)
            read_instead(model.graph, node.output[0], name)
        return
    front = (
        helper.make_node("Transpose", [name], [inner], "to_channels_last", perm=[0, 2, 3, 1])
        if layout == "nhwc"
        else helper.make_node("Flatten", [name], [inner], "to_features", axis=1)
    )
    model.graph.node.insert(0, front)


def _undoes(model: onnx.ModelProto, node: onnx.NodeProto, input_shape: tuple[int, ...]) -> bool:
    """Whether a node behind the input only puts (n, h, w, c) back to (n, c, h, w)."""
    if node.op_type == "Transpose":
        return next((list(item.ints) for item in node.attribute if item.name == "perm"), None) == _INVERSE
    # With one channel both orders lie alike in memory, and tf2onnx writes a Reshape.
    if node.op_type != "Reshape" or len(input_shape) != 3 or input_shape[0] != 1 or len(node.input) != 2:
        return False
    wanted = _constant(model, node.input[1])
    if wanted is None or list(wanted.shape) != [4]:
        return False
    allowzero = any(item.name == "allowzero" and item.i for item in node.attribute)
    _, height, width = input_shape
    batch, *rest = (int(size) for size in wanted)
    # 0 keeps the size that stands there in (n, h, w, 1): only the batch's, the first, may.
    return rest == [1, height, width] and (batch == -1 or (batch == 0 and not allowzero))


def _constant(model: onnx.ModelProto, name: str) -> NDArray[Any] | None:
    for item in model.graph.initializer:
        if item.name == name:
            return np.asarray(numpy_helper.to_array(item))
    for node in model.graph.node:
        if node.op_type == "Constant" and name in node.output:
            return next((np.asarray(numpy_helper.to_array(i.t)) for i in node.attribute if i.name == "value"), None)
    return None


def _drop_unused(model: onnx.ModelProto) -> None:
    """Nodes and weights that nothing reads: what led to the outputs that were dropped."""
    needed = {item.name for item in model.graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(list(model.graph.node)):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
            needed |= set(captured(node))
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    drop_unread(model.graph)
    used = {node.domain for node in model.graph.node} | {"", "ai.onnx"}
    imports = [item for item in model.opset_import if item.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
