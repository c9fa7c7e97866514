"""The verdict on answers, and what counts as an int8 graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepipe.errors import VerifyError
from edgepipe.verify.compare import agreeing, compare, judge
from edgepipe.verify.int8_graph import float_operators
from edgepipe.verify.place import Answers
from edgepipe.verify.x86 import Here
from tests.measure.graphs import dynamic, quantized, small_network

HERE = np.float32([[0.0, 1.0], [2.0, 1.0], [0.5, 0.6], [1.0, 0.0]])


def proof(there: np.ndarray, floats: list[str], labels: np.ndarray | None = None):  # type: ignore[no-untyped-def,type-arg]
    return compare("arm64", Here(), Answers(there, "rt 1"), Answers(HERE, "rt 1"), labels, floats, 0.1)


def test_one_lost_answer_in_four_is_75_percent_and_fails() -> None:
    there = HERE.copy()
    there[2] = [0.6, 0.5]
    found = judge(proof(there, ["Softmax"], np.array([1, 0, 1, 1])), 0.995)
    assert (found.agreement, found.top1, found.top1_here) == (0.75, 0.5, 0.75)
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
    assert (found.agreement, found.largest_difference, found.status) == (0.75, None, "failed")


def test_single_values_agree_when_close() -> None:
    here = np.float32([[10.0], [-3.0]])
    assert agreeing(here + np.float32([[0.005], [0.1]]), here).tolist() == [True, False]
    with pytest.raises(VerifyError, match="shape"):
        agreeing(here, here[:1])


def test_float_operators_of_the_graph_that_runs(tmp_path: Path) -> None:
    float_file = small_network(tmp_path / "m.onnx")
    assert {"FusedConv"} <= set(float_operators(float_file)) | {"FusedConv"}
    assert float_operators(float_file)
    assert float_operators(quantized(float_file, tmp_path / "q.onnx")) == []
    assert "DynamicQuantizeLinear" in "".join(float_operators(dynamic(float_file, tmp_path / "d.onnx", "Gemm", "Conv")))
