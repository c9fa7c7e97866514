"""Shapes of a graph's tensors in one run are told for any number of inputs, whatever axis of them counts examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepipe.errors import MeasureError
from edgepipe.onnx.graph import Graph
from edgepipe.onnx.session import Session
from tests.onnx import networks

STATE = {"x": (5, 4), "h": (1, 3), "c": (1, 3)}


@pytest.mark.parametrize(("batch", "count"), [("batch", 1), (None, 1), (1, 1), (3, 3)])
def test_a_run_of_several_inputs_has_the_batch_where_each_of_them_has_it(tmp_path: Path, batch, count: int) -> None:
    graph = Graph.load(networks.recurrent(tmp_path / "m.onnx", batch))
    assert graph.batch(STATE) == count
    assert graph.run_shapes(STATE) == {"x": (count, 5, 4), "h": (1, count, 3), "c": (1, count, 3)}
    assert graph.shapes(STATE, {"y", "hn"}) | {"y": (count, 5, 3), "hn": (1, count, 3)} == graph.shapes(STATE, {"y"})
    zeros = graph.filled(STATE)
    assert {name: value.shape for name, value in zeros.items()} == graph.run_shapes(STATE)
    assert Session(tmp_path / "m.onnx").run(zeros)["hn"].shape == (1, count, 3)


def test_zeros_have_the_types_of_inputs(tmp_path: Path) -> None:
    graph = Graph.load(networks.mixed_types(tmp_path / "m.onnx"))
    kinds = {name: value.dtype for name, value in graph.filled(dict.fromkeys(("whole", "which", "half"), (3,))).items()}
    assert kinds == {"whole": np.int32, "which": np.bool_, "half": np.float16}


def test_the_shape_alone_is_that_of_an_only_input(tmp_path: Path) -> None:
    picture = Graph.load(networks.free_picture(tmp_path / "m.onnx"))
    assert picture.shapes((3, 8, 6), {"y"})["y"] == (1, 2, 8, 6)
    encoder = Graph.load(networks.encoder(tmp_path / "n.onnx"))
    with pytest.raises(MeasureError, match=r"has 3 inputs \('ids', 'mask', 'types'\)"):
        encoder.batch((7,))
    assert encoder.shapes(dict.fromkeys(("ids", "mask", "types"), (7,)), {"pooled"})["pooled"] == (1, 6)
