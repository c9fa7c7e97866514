"""Examples become a network's element type by one function, that says what a cast would lose."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgepipe.bundle.page import FILES
from edgepipe.contract import Signature
from edgepipe.errors import ModelError
from edgepipe.onnx.answers import session_answers
from edgepipe.onnx.session import Session
from edgepipe.onnx.tensor_types import TYPES, cast
from edgepipe.quant.calibrate.run import open_probe
from edgepipe.verify import worker
from edgepipe.verify.inputs import write_inputs

PIXELS = np.arange(256, dtype=np.float32).reshape(1, -1)


def network(kind: int) -> onnx.ModelProto:
    """Hands out its input, as floats."""
    ends = [
        helper.make_tensor_value_info(name, type_, ["n", 4]) for name, type_ in (("x", kind), ("y", TensorProto.FLOAT))
    ]
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize(
    ("values", "kind", "lost"),
    [
        (PIXELS, np.uint8, None),
        (PIXELS - 1e-4, np.uint8, None),
        (PIXELS + 0.25, np.uint8, "uint8, 0 to 255.* from 0.25 to 255.2"),
        (PIXELS, np.int8, "int8, -128 to 127.* from 0 to 255"),
        (PIXELS - 1, np.uint8, "from -1 to 254"),
        (np.array([[0.2, 0.9]], np.float32), np.bool_, "bool, 0 to 1.* from 0.2 to 0.9"),
        (np.array([[0.0, 1.0]], np.float32), np.bool_, None),
        (np.array([[300]]), np.uint8, "from 300 to 300"),
        (np.array([[np.nan]], np.float32), np.int64, "from nan to nan"),
        (np.array([[7]]), np.float32, None),
        (np.empty((0, 3), np.float32), np.uint8, None),
    ],
)
def test_a_cast_that_would_make_others_of_examples_is_refused(values: Any, kind: Any, lost: str | None) -> None:
    if lost is None:
        made = cast(values, kind, "m.onnx")
        assert made.dtype == kind
        assert np.array_equal(made, np.rint(values) if np.dtype(kind).kind in "iub" else values)
        return
    with pytest.raises(ModelError, match=rf"^m\.onnx: its input takes whole numbers \(.*{lost}"):
        cast(values, kind, "m.onnx")


def test_whoever_asks_a_network_casts_by_it(tmp_path: Path) -> None:
    model = network(TensorProto.UINT8)
    onnx.save(model, tmp_path / "m.onnx")
    askers: list[Any] = [
        session_answers(tmp_path / "m.onnx"),
        lambda rows: open_probe(model, rows)[0](rows)[0],
        Session(tmp_path / "m.onnx").first,
    ]
    fine, normalized = np.float32([[0, 7.9999995, 254, 255]]), np.float32([[-2.1, 0.3, 1.2, 2.2]])
    for ask in askers:
        assert np.array_equal(ask(fine), np.rint(fine))
        with pytest.raises(ModelError, match="as whole numbers they would be others"):
            ask(normalized)


def test_one_table_of_types(tmp_path: Path) -> None:
    for name, kind in TYPES.items():
        number = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        onnx.save(network(number), tmp_path / "m.onnx")
        assert TYPES[name] == kind
        (tensor,) = Session(tmp_path / "m.onnx").inputs
        assert (tensor.name, tensor.dtype, tensor.shape) == ("x", np.dtype(kind), ("n", 4))
    onnx.save(network(TensorProto.STRING), tmp_path / "m.onnx")
    session = Session(tmp_path / "m.onnx", name="m")
    with pytest.raises(ModelError, match=r"m: its input 'x' is tensor\(string\); expected one of tensor\(float\)"):
        _ = session.inputs
    # What runs elsewhere stands alone, and so has the table once more.
    for file in (FILES / "example.py",):
        code = ast.parse(file.read_text())
        lines = [
            node for node in code.body if isinstance(node, (ast.Assign, ast.AugAssign)) and "TYPES" in ast.unparse(node)
        ]
        names: dict[str, Any] = {"np": np}
        exec("\n".join(map(ast.unparse, lines)), names)
        assert {name: np.dtype(kind) for name, kind in names["TYPES"].items()} == {
            name: np.dtype(kind) for name, kind in TYPES.items()
        }


def test_an_emulated_processor_is_given_what_this_one_is_given(tmp_path: Path) -> None:
    onnx.save(network(TensorProto.UINT8), tmp_path / "m.onnx")
    inputs = np.float32([[0, 7.9999995, 254, 255], [1, 2, 3, 2.9999998]])
    signature = Signature(input_shape=(4,))
    plan = write_inputs(tmp_path, tmp_path / "m.onnx", signature, [{"x": inputs}], 2)
    (answers,), _ = worker.run(str(tmp_path / "m.onnx"), tmp_path, vars(plan), 0, 2, False)
    assert np.array_equal(np.concatenate(answers), np.rint(inputs))
