"""An artifact that does not run is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from edgepipe.contract import ONNX_FILE, Kind, Signature, Tensor, seal
from edgepipe.testing import Broken
from edgepipe.testing.runs import inputs_of, runs
from edgepipe.testing.toys import onnx_artifact, torch_artifact


def test_the_toys_run(tmp_path: Path) -> None:
    runs("toy", onnx_artifact(tmp_path / "onnx"))
    runs("toy", torch_artifact(tmp_path / "torch"))


def test_a_network_that_answers_infinity_is_told(tmp_path: Path) -> None:
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", 2))] for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Log", ["zero"], ["log"]), helper.make_node("Add", ["x", "log"], ["y"])],
        "g",
        *ends,
        [helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / ONNX_FILE)
    with pytest.raises(Broken, match=r"Odd\.load: the model answers NaN or infinity to small numbers"):
        runs("Odd.load", seal(tmp_path, Kind.ONNX, Signature(input_shape=(2,))))


def test_inputs_are_of_the_type_and_shape_that_the_signature_says() -> None:
    ids = Tensor(name="ids", dtype="int64", shape=("length",))
    found = inputs_of(Signature(inputs=(ids, Tensor(name="x", shape=(2, 3)))), 5)
    assert {name: (values.dtype, values.shape) for name, values in found.items()} == {
        "ids": (np.dtype("int64"), (5, 4)),
        "x": (np.dtype("float32"), (5, 2, 3)),
    }
