"""A rewritten graph is compared with the one that was given, in all of its outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgepipe.errors import ModelError
from edgepipe.onnx.rewritten import difference
from tests.onnx import networks

SHAPES = dict.fromkeys(("ids", "mask", "types"), (7,))


def test_a_change_of_any_output_is_seen(tmp_path: Path) -> None:
    given = onnx.load(networks.encoder(tmp_path / "m.onnx"))
    made = onnx.load(tmp_path / "m.onnx")
    assert difference(given, made, SHAPES, "m", "") == 0
    made.graph.node[-1].output[0] = "mean"
    made.graph.node.append(helper.make_node("Mul", ["mean", "half"], ["pooled"]))
    made.graph.initializer.append(numpy_helper.from_array(np.float32(1.5), "half"))
    assert difference(given, made, SHAPES, "m", "") == pytest.approx(0.5)


def test_a_state_on_axis_1_is_drawn_where_the_graph_takes_it(tmp_path: Path) -> None:
    free, three = (onnx.load(networks.recurrent(tmp_path / "m.onnx", batch)) for batch in ("batch", 3))
    shapes = {"x": (5, 4), "h": (1, 3), "c": (1, 3)}
    assert difference(free, free, shapes, "m", "") == 0
    assert difference(three, three, shapes, "m", "") == 0
    with pytest.raises(ModelError, match=r"^m: rewritten, it answers \(3, 5, 3\) where it answered \(2, 5, 3\)"):
        difference(free, three, shapes, "m", "")
