"""The log of ONNX Runtime is silent: it would write the names of a file's nodes to the terminal as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgepipe
from edgepipe.errors import MeasureError
from edgepipe.measure import probe
from edgepipe.onnx.answers import session_answers
from edgepipe.onnx.session import Session
from edgepipe.onnx.session_options import quiet_options
from edgepipe.verify import worker

ESCAPE = "\x1b]0;owned\x07\x1b[35m"
PACKAGE = Path(edgepipe.__file__).parent
ALONE = {Path(probe.__file__), Path(worker.__file__), PACKAGE / "bundle" / "files" / "example.py"}
"""Run without edgepipe."""


def failing(path: Path) -> Path:
    """(n, 3) -> a Reshape that no batch of examples fits, of a name that would set the terminal's title."""
    made = helper.make_graph(
        [helper.make_node("Reshape", ["x", "s"], ["y"], name=ESCAPE)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["m", 7])],
        [numpy_helper.from_array(np.array([-1, 7]), "s"), numpy_helper.from_array(np.ones(2), f"unread{ESCAPE}")],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.mark.parametrize("how", ["measured", "answered", "elsewhere"])
def test_a_node_that_fails_writes_nothing_to_the_terminal(tmp_path: Path, capfd, how: str) -> None:
    file, inputs = failing(tmp_path / "m.onnx"), np.zeros((2, 3), np.float32)
    with pytest.raises(Exception, match="Reshape"):
        if how == "measured":
            Session(file).run(inputs)
        elif how == "answered":
            session_answers(file)(inputs)
        else:
            np.save(tmp_path / "0.npy", inputs)
            given = {"name": "x", "file": "0.npy", "axis": 0, "stepped": False}
            plan = {"inputs": [given], "outputs": [{"name": "y", "axis": None}], "batch": 1, "steps": 1, "state": {}}
            worker.run(str(file), tmp_path, plan, 0, 2, False)
    assert capfd.readouterr().err == ""


def test_what_fails_is_still_told_by_the_exception(tmp_path: Path) -> None:
    session = Session(failing(tmp_path / "m.onnx"), quiet_options())
    with pytest.raises(MeasureError, match="cannot be reshaped"):
        session.run({"x": np.zeros((2, 3), np.float32)})


def test_no_session_is_opened_with_a_log() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path in ALONE:
            assert "log_severity_level = 4" in text, path
        elif path.stem != "session_options":
            assert "SessionOptions()" not in text, f"{path}: quiet_options() makes them"
            assert "InferenceSession(" not in text or path.name == "session.py", f"{path}: Session opens them"
