"""What every place is compared with: this machine's own runtime, one example at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgepipe.contract import Signature
from edgepipe.onnx.answers import named_answers
from edgepipe.verify.inputs import write_inputs
from edgepipe.verify.native import Here, environment
from tests.onnx import networks


def test_this_machine_answers_in_processes_that_need_no_environment_of_edgepipe(tmp_path: Path) -> None:
    model, rows = networks.five_outputs(tmp_path / "m.onnx"), {"x": np.eye(4, dtype=np.float32)}
    (tmp_path / "inputs").mkdir()
    write_inputs(tmp_path / "inputs", model, Signature(input_shape=(4,)), [rows], 4)
    found = Here().answer(model, tmp_path / "inputs", 4, tmp_path, lambda _: None)
    for name, value in named_answers(model)(rows).items():
        np.testing.assert_array_equal(found.outputs[name], value.reshape(found.outputs[name].shape))
    assert "onnxruntime" in Here().identity()
    assert "VIRTUAL_ENV" not in environment()
