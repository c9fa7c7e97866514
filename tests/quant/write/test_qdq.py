"""What is written into a graph reads back as what was meant."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgepipe.quant.place.placement import Placement
from edgepipe.quant.write.qdq import QdqWriter


def test_scales_of_a_matrix_lie_along_its_columns() -> None:
    rng = np.random.default_rng(0)
    matrix = (rng.standard_normal((6, 6)) * 10.0 ** np.arange(-3, 3)).astype(np.float32)  # columns far apart
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (64, 6))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (64, 6))],
        [numpy_helper.from_array(matrix, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    given = onnx.ModelProto()
    given.CopyFrom(model)
    writer = QdqWriter(model, per_channel=True, pair_safe=False, search=False)
    writer.write(Placement(nodes={"product"}, tensors=["x"]), {"x": (-1.0, 1.0)})
    inputs = {"x": rng.uniform(-1, 1, (64, 6)).astype(np.float32)}
    wanted, got = (ReferenceEvaluator(one).run(None, inputs)[0] for one in (given, model))
    error = np.abs(got - wanted).max(axis=0) / np.abs(wanted).max(axis=0)
    assert error.max() < 0.02
    stored = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    assert (stored["w_quantized"].dtype, stored["w_quantized"].shape) == (np.int8, (6, 6))
    assert stored["w_scale"].shape == (6,)
