"""A file of another format is asked by the ONNX file's names, whatever axes count its examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgepipe.errors import PassError
from edgepipe.formats.asking import Ends, example_shape, in_batches, one_by_one
from edgepipe.onnx.answers import named_answers
from tests.onnx import networks


def test_outputs_are_asked_in_batches_along_the_axis_that_counts_examples(tmp_path: Path) -> None:
    file = networks.recurrent(tmp_path / "m.onnx", 4)
    asked, rows = named_answers(file), {"x": np.ones((6, 2, 4), "f4"), "h": np.zeros((6, 1, 3), "f4")}
    rows["c"] = rows["h"] + 1
    found = in_batches(Ends.of(file), lambda given: asked.session.run(given), "m")(rows)
    for name, value in asked(rows).items():
        np.testing.assert_allclose(found[name], value, atol=1e-6)


def test_examples_that_are_asked_one_by_one_come_back_by_the_outputs_names(tmp_path: Path) -> None:
    ends = Ends.of(networks.five_outputs(tmp_path / "m.onnx"))
    asked = one_by_one(ends, lambda row: [np.full((1, 2), row["x"].sum() + index) for index in range(5)])
    found = asked({"x": np.eye(3, 4)})
    assert list(found) == ["a", "b", "c", "d", "e"]
    assert found["e"].tolist() == [[5.0, 5.0]] * 3


def test_an_axis_without_a_number_is_named_where_a_format_takes_one_size(tmp_path: Path) -> None:
    graph = onnx.load(networks.free_picture(tmp_path / "m.onnx")).graph
    with pytest.raises(PassError, match=r"toy: .* no fixed shape: 'x' takes any height and width"):
        example_shape(graph.input[0], "toy")
    assert example_shape(onnx.load(networks.encoder(tmp_path / "e.onnx", "n", 7)).graph.input[0], "toy") == [7]
