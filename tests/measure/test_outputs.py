"""Good means that hide a ruin: scores among boxes, letters among steps, one example of many, a second output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgepipe.contract import Task
from edgepipe.measure.findings import findings
from edgepipe.measure.outputs import output_changes
from edgepipe.onnx.session import Session
from edgepipe.records.metrics import Audit, OutputChange, StepRecord
from edgepipe.report.html import _outputs
from edgepipe.tasks.agreement import Agreement
from edgepipe.tasks.classification import Classification
from edgepipe.tasks.embedding import Embedding
from edgepipe.tasks.regression import Regression
from tests.measure.graphs import Arrays
from tests.measure.test_findings import against, seen

DRAW = np.random.default_rng(5)


def adding(path: Path, shape: tuple[int, ...], *added: NDArray[np.float32], gate: float = -1e9) -> Path:
    """Outputs x + d for each d, where the first number of x is above `gate`; x else."""
    nodes, stored, outputs = [], [], []
    nodes.append(helper.make_node("ReduceMax", ["x"], ["m"], keepdims=1))
    nodes.append(helper.make_node("Greater", ["m", "gate"], ["g"]))
    nodes.append(helper.make_node("Cast", ["g"], ["on"], to=TensorProto.FLOAT))
    stored.append(numpy_helper.from_array(np.float32([gate]), "gate"))
    for number, value in enumerate(added):
        stored.append(numpy_helper.from_array(value.astype(np.float32), f"d{number}"))
        nodes.append(helper.make_node("Mul", [f"d{number}", "on"], [f"s{number}"]))
        nodes.append(helper.make_node("Add", ["x", f"s{number}"], [f"y{number}"]))
        outputs.append(helper.make_tensor_value_info(f"y{number}", TensorProto.FLOAT, ["n", *shape]))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])], outputs, stored
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def data(inputs: NDArray[np.float64]) -> Arrays:
    return Arrays(inputs.astype(np.float32), None)


def changes(step: Path, base: Path, given: Arrays, task: Task) -> list[OutputChange]:
    return output_changes(Session(step), base, given, task)


def said(changes: list[OutputChange]) -> list[str]:
    return findings(
        seen(), against(1.0).model_copy(update={"outputs": changes}), Audit(), Regression(), previous=seen()
    )


@pytest.mark.parametrize("task", [Regression(), Embedding()])
def test_scores_that_are_lost_among_large_boxes_are_named(tmp_path: Path, task: Task) -> None:
    x = DRAW.uniform(0, 640, (60, 30, 5))
    x[..., 4] = DRAW.uniform(0, 1, (60, 30))
    lost = np.zeros((30, 5))
    lost[::2, 4] = -0.9  # half of the scores
    base = adding(tmp_path / "a.onnx", (30, 5), np.zeros((30, 5)))
    (found,) = changes(adding(tmp_path / "b.onnx", (30, 5), lost), base, data(x), task)
    assert found.r2 is not None and found.r2 > 0.999 and found.cosine > 0.999
    assert (found.worst_part, found.values, found.examples) == ("[…, 4]", 150, 60)
    assert found.worst_part_r2 == pytest.approx(1 - 0.5 * 0.81 / x[..., 4].var(), abs=0.01)
    assert any(text.startswith("a part of output 'y0' moved much: […, 4] keeps R2 -") for text in said([found]))


def test_letters_that_change_at_a_few_steps_are_counted_by_example(tmp_path: Path) -> None:
    x = DRAW.standard_normal((60, 20, 10)) * 5
    x[:, 0] = 0
    x[:, 0, 2] = np.where(np.arange(60) % 2, 0.2, 2.0)
    changed = np.zeros((20, 10))
    changed[0, 7] = 1.0  # wins where the letter 2 was at 0.2: every other string
    base = adding(tmp_path / "a.onnx", (20, 10), np.zeros((20, 10)))
    (found,) = changes(adding(tmp_path / "b.onnx", (20, 10), changed), base, data(x), Embedding())
    assert found.cosine > 0.99
    assert (found.rows_alike, found.examples_alike) == (pytest.approx(1 - 0.5 / 20), 0.5)
    assert (
        "in 50% of the examples the largest value of a row of output 'y0' is another one (2.5% of all rows): where "
        "rows are letters or boxes, these answers changed" in said([found])
    )


def test_a_ruin_of_few_examples_is_told_by_the_worst_percent(tmp_path: Path) -> None:
    x = DRAW.uniform(0.5, 1, (100, 8))
    x[50, 0] = 2.0  # the one that the step ruins
    base = adding(tmp_path / "a.onnx", (8,), np.zeros(8))
    (found,) = changes(adding(tmp_path / "b.onnx", (8,), np.full(8, -2.0), gate=1.5), base, data(x), Regression())
    assert found.cosine > 0.97 and found.cosine_worst < 0 and found.relative_error_worst > 1
    assert any(text.startswith("output 'y0' moved much in few examples: mean cosine 0.9") for text in said([found]))


def test_every_output_is_told_and_equal_ones_need_no_word(tmp_path: Path) -> None:
    x = DRAW.standard_normal((12, 6))
    base = adding(tmp_path / "a.onnx", (6,), np.zeros(6), np.zeros(6))
    step = adding(tmp_path / "b.onnx", (6,), np.zeros(6), np.full(6, 9.0))
    first, second = changes(step, base, data(x), Regression())
    assert (first.name, first.relative_error, first.cosine) == ("y0", 0.0, pytest.approx(1))
    assert (first.r2, first.worst_part_r2) == (1.0, 1.0)
    assert second.name == "y1" and second.relative_error > 1
    assert said([first]) == []
    assert [item.name for item in changes(step, base, data(x), Classification())] == ["y1"]
    alone = adding(tmp_path / "c.onnx", (6,), np.zeros(6))
    assert changes(alone, alone, data(x), Classification()) == []  # agreement says it


def test_the_report_shows_each_output_with_its_worst_part() -> None:
    change = OutputChange(
        name="boxes<1>",
        values=150,
        examples=60,
        relative_error=0.01,
        relative_error_worst=0.2,
        cosine=0.999,
        cosine_worst=0.91,
        r2=0.96,
        worst_part="[…, 4]",
        worst_part_r2=0.31,
    )
    versus = against(1.0).model_copy(update={"outputs": [change]})
    text = "".join(_outputs([StepRecord(label="quantize", **{"pass": "quantize_static"}, versus_baseline=versus)]))
    assert "boxes&lt;1&gt;" in text and "[…, 4] 0.3100" in text and "20.00%" in text and "0.9100" in text
    assert list(_outputs([])) == []


def test_a_single_value_that_moved_in_few_examples_is_told_without_its_direction(tmp_path: Path) -> None:
    x = DRAW.uniform(0.5, 1, (100, 1))
    x[50] = 2.0
    base = adding(tmp_path / "a.onnx", (1,), np.zeros(1))
    (found,) = changes(adding(tmp_path / "b.onnx", (1,), np.full(1, 2.0), gate=1.5), base, data(x), Agreement())
    (told,) = [text for text in said([found]) if "moved much" in text]
    assert told == "output 'y0' moved much in few examples: by 100% in the worst 1% (mean 1%)"
