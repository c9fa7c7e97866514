"""The verdict on answers, and what counts as an int8 graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepipe.contract import PlaceAnswers, Signature, Task
from edgepipe.errors import VerifyError
from edgepipe.tasks.agreement import Agreement
from edgepipe.tasks.classification import Classification
from edgepipe.tasks.regression import Regression
from edgepipe.verify.compare import Judge, compare, judge
from edgepipe.verify.int8_graph import float_operators
from edgepipe.verify.native import Here
from tests.measure.graphs import dynamic, quantized, small_network

HERE = np.float32([[0.0, 1.0], [2.0, 1.0], [0.5, 0.6], [1.0, 0.0]])


SIGNATURE = Signature(input_shape=(2,))


def proof(there: np.ndarray, floats: list[str], labels: np.ndarray | None = None):  # type: ignore[no-untyped-def,type-arg]
    task = Classification()
    targets = None if labels is None else task.targets(labels, SIGNATURE)
    answers = (PlaceAnswers({"y": each}, "rt 1") for each in (there, HERE))
    return compare("arm64", Here(), *answers, Judge(task, SIGNATURE, targets), floats, 0.1)


def alike(task: Task, there: dict[str, np.ndarray], here: dict[str, np.ndarray]) -> list[bool]:  # type: ignore[type-arg]
    return Judge(task, SIGNATURE).alike(there, here).tolist()


def test_one_lost_answer_in_four_is_75_percent_and_fails() -> None:
    there = HERE.copy()
    there[2] = [0.6, 0.5]
    found = judge(proof(there, ["Softmax"], np.array([1, 0, 1, 1])), 0.995)
    assert (found.alike, found.top1, found.top1_here) == (0.75, 0.5, 0.75)
    assert found.status == "failed"
    assert "1 of 4 answers differ from this machine's, 99.50% must agree" in found.why


def test_a_last_bit_is_forgiven_in_float_and_not_in_int8() -> None:
    there = np.nextafter(HERE, np.float32(9))
    assert judge(proof(there, ["Softmax"]), 0.995).status == "ok"
    failed = judge(proof(there, []), 0.995)
    assert failed.status == "failed"
    assert "bit-identical" in failed.why
    assert judge(proof(HERE, []), 1.0).status == "ok"


def test_answers_that_are_not_finite_agree_with_nothing() -> None:
    there = HERE.copy()
    there[1] = np.nan
    found = judge(proof(there, ["Softmax"]), 0.995)
    assert (found.alike, found.largest_difference, found.status) == (0.75, None, "failed")


def test_values_agree_when_close_and_outputs_of_another_shape_are_refused() -> None:
    here = {"y": np.float32([[10.0], [-3.0]])}
    assert alike(Regression(), {"y": here["y"] + np.float32([[0.005], [1.0]])}, here) == [True, False]
    with pytest.raises(VerifyError, match="shape"):
        alike(Regression(), here, {"y": here["y"][:1]})


def test_every_output_counts_and_one_bit_of_any_of_them_is_no_identity() -> None:
    here = {"boxes": np.float32([[1, 2], [3, 4]]), "kinds": np.int64([1, 2])}
    there = {"boxes": here["boxes"], "kinds": np.int64([1, 3])}
    assert alike(Agreement(), there, here) == [True, False]
    answers = (PlaceAnswers(each, "rt 1") for each in (there, here))
    found = compare("arm64", Here(), *answers, Judge(Agreement(), SIGNATURE), [], 0.1)
    assert (found.alike, found.identical, found.largest_difference) == (0.5, False, 1.0)
    assert found.top1 is None
    with pytest.raises(VerifyError, match=r"shape \(2,\) there and \(1,\) here of output 'kinds'"):
        alike(Agreement(), there, {**here, "kinds": here["kinds"][:1]})


def test_a_place_s_own_remedy_is_told_where_bits_differ() -> None:
    there = HERE + np.float32(0.01)
    assert judge(proof(there, []), 0.5, "quantize otherwise").why.endswith("; quantize otherwise")
    assert judge(proof(HERE, []), 0.5, "quantize otherwise").why == ""


def test_float_operators_of_the_graph_that_runs(tmp_path: Path) -> None:
    float_file = small_network(tmp_path / "m.onnx")
    assert {"FusedConv"} <= set(float_operators(float_file)) | {"FusedConv"}
    assert float_operators(float_file)
    assert float_operators(quantized(float_file, tmp_path / "q.onnx")) == []
    assert "DynamicQuantizeLinear" in "".join(float_operators(dynamic(float_file, tmp_path / "d.onnx", "Gemm", "Conv")))
