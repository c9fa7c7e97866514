"""Whole examples are answered by every output, whatever axes of inputs and outputs count them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgepipe.errors import MeasureError
from edgepipe.onnx.answers import NamedAnswers, session_answers
from edgepipe.onnx.session import Session
from tests.onnx import networks

RNG = np.random.default_rng(1)
X = RNG.standard_normal((7, 5, 4)).astype(np.float32)
STATE = {name: RNG.standard_normal((7, 1, 3)).astype(np.float32) for name in ("h", "c")}
IDS = RNG.integers(0, 11, (7, 4))
TOKENS = {"ids": IDS, "mask": (IDS > 2).astype(np.int64), "types": IDS % 2}


def one_by_one(session: Session, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    each = [session.run(session.placed({name: value[i : i + 1] for name, value in rows.items()})) for i in range(7)]
    return {name: np.stack([one[name].ravel() for one in each]) for name in each[0]}


@pytest.mark.parametrize("batch", ["batch", None, 1, 3])
def test_a_state_with_its_batch_on_axis_1_goes_in_and_out_with_its_example(tmp_path: Path, batch) -> None:
    rows = {"x": X, **STATE}
    wanted = one_by_one(Session(networks.recurrent(tmp_path / "free.onnx")), rows)
    found = NamedAnswers(Session(networks.recurrent(tmp_path / "m.onnx", batch)))(rows)
    assert {name: len(value) for name, value in found.items()} == {"y": 7, "hn": 7, "cn": 7}
    for name, value in found.items():
        np.testing.assert_allclose(value.reshape(7, -1), wanted[name], atol=1e-6)


@pytest.mark.parametrize("batch", ["batch", 1, 4, 6])
def test_ids_mask_and_types_are_answered_together(tmp_path: Path, batch: int | str) -> None:
    wanted = one_by_one(Session(networks.encoder(tmp_path / "free.onnx")), TOKENS)
    asked = NamedAnswers(Session(networks.encoder(tmp_path / "m.onnx", batch)))
    for name, value in asked(TOKENS).items():
        np.testing.assert_allclose(value.reshape(7, -1), wanted[name], atol=1e-6)
    assert asked.together(TOKENS) == (1 if batch == 1 else 7)
    assert NamedAnswers(asked.session, ["pooled"])(TOKENS).keys() == {"pooled"}


def test_five_outputs_of_which_one_counts_examples_last(tmp_path: Path) -> None:
    asked = NamedAnswers(Session(networks.five_outputs(tmp_path / "m.onnx")))
    found = asked(X[:, 0])
    assert all(len(value) == 7 for value in found.values())
    np.testing.assert_array_equal(found["b"], X[:, 0])
    np.testing.assert_array_equal(found["d"], X[:, 0] > 0)
    assert asked.together(X[:, 0]) == 1


def test_an_output_that_counts_no_examples_of_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Neg", ["x"], ["y"]),
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=0),
    ]
    kinds = dict.fromkeys(("y", "mean"), TensorProto.FLOAT)
    path = networks.save(tmp_path / "m.onnx", nodes, {"x": (TensorProto.FLOAT, (3, 4))}, kinds)
    with pytest.raises(MeasureError, match="takes 3 examples at once, and no axis of its output 'mean' counts them"):
        NamedAnswers(Session(path))(X[:, 0])
    np.testing.assert_array_equal(session_answers(path)(X[:, 0]), -X[:, 0])  # the first output alone does


def test_who_asks_for_a_first_output_says_that_it_knows_one_input(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match=r"m\.onnx: has 3 inputs .*; only models with one are compared"):
        session_answers(networks.encoder(tmp_path / "m.onnx"))
