"""Whoever knows one input says so in one sentence, with the names of the others."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edgepipe.errors import MeasureError
from edgepipe.onnx.inputs import inputs_of, only_input, several
from tests.onnx import networks


def test_inputs_are_told_in_the_graph_s_order(tmp_path: Path) -> None:
    graph = onnx.load(networks.encoder(tmp_path / "m.onnx")).graph
    assert [item.name for item in inputs_of(graph)] == ["ids", "mask", "types"]
    told = several(["ids", "mask", "types"], "m.onnx", "measured")
    assert told == "m.onnx: has 3 inputs ('ids', 'mask', 'types'); only models with one are measured"
    with pytest.raises(MeasureError) as caught:
        only_input(graph, "m.onnx", "measured")
    assert str(caught.value) == told


def test_a_weight_that_an_old_exporter_lists_is_no_input(tmp_path: Path) -> None:
    graph = onnx.load(networks.free_picture(tmp_path / "m.onnx")).graph
    graph.input.add(name="w")
    assert only_input(graph, "m.onnx", "measured").name == "x"
