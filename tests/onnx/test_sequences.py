"""A state goes round: the runs of an example feed each other, and its answers are those of its steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgepipe.contract import Signature, Tensor
from edgepipe.errors import ModelError
from edgepipe.onnx.answers import NamedAnswers
from edgepipe.onnx.sequences import SequenceSession, opened
from edgepipe.onnx.session import Session
from tests.onnx import networks

RNG = np.random.default_rng(1)
X = RNG.standard_normal((7, 6, 4)).astype(np.float32)
ROUND = {"h": "hn", "c": "cn"}


@pytest.mark.parametrize("batch", ["batch", None, 1, 3])
def test_steps_are_answered_as_a_whole_sequence_is(tmp_path: Path, batch: int | str | None) -> None:
    whole = NamedAnswers(Session(networks.recurrent(tmp_path / "whole.onnx")))
    zeros = np.zeros((7, 1, 3), np.float32)
    wanted = whole({"x": X, "h": zeros, "c": zeros})["y"]
    signature = Signature(inputs=(Tensor(name="x", shape=(6, 1, 4)),), state=ROUND, steps=6)
    session = opened(networks.recurrent(tmp_path / "m.onnx", batch), signature)
    found = NamedAnswers(session)({"sound": X[:, :, None]})  # the one that is no state, whatever it is called
    assert {name: value.shape for name, value in found.items()} == {
        "y": (7, 6, 1, 3),
        "hn": (7, 6, 1, 3),
        "cn": (7, 6, 1, 3),
    }
    np.testing.assert_allclose(found["y"][:, :, 0], wanted, atol=1e-6)
    np.testing.assert_allclose(found["hn"][:, :, 0], wanted, atol=1e-6)


def test_a_state_begins_as_the_data_says_and_what_has_no_steps_is_given_at_each(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["x", "s"], ["sum"]),
        helper.make_node("Mul", ["sum", "gain"], ["t"]),
        helper.make_node("Identity", ["t"], ["y"]),
    ]
    ends = dict.fromkeys(("x", "gain", "s"), (TensorProto.FLOAT, ("n", 2)))
    path = networks.save(tmp_path / "m.onnx", nodes, ends, dict.fromkeys(("y", "t"), TensorProto.FLOAT))
    x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    rows = {"x": x, "gain": np.full((2, 2), 2, np.float32), "s": np.ones((2, 2), np.float32)}
    found = NamedAnswers(SequenceSession(path, {"s": "t"}, 3))(rows)["y"]
    state = np.ones((2, 2))
    for step in range(3):
        state = 2 * (x[:, step] + state)
        np.testing.assert_allclose(found[:, step], state)


def test_a_network_without_an_axis_for_examples_is_asked_one_by_one(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "s"], ["t"]), helper.make_node("Neg", ["t"], ["y"])]
    ends = dict.fromkeys(("x", "s"), (TensorProto.FLOAT, (2,)))
    path = networks.save(tmp_path / "m.onnx", nodes, ends, dict.fromkeys(("y", "t"), TensorProto.FLOAT))
    x = RNG.standard_normal((4, 3, 2)).astype(np.float32)
    found = NamedAnswers(SequenceSession(path, {"s": "t"}, 3))({"x": x})["y"]
    np.testing.assert_allclose(found, -np.cumsum(x, axis=1), atol=1e-6)


def test_names_that_are_none_and_sizes_that_nobody_knows_are_refused(tmp_path: Path) -> None:
    path = networks.recurrent(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"data\.state names 'hh', which is no input of it\. Its inputs are x, h, c"):
        SequenceSession(path, {"hh": "hn"}, 6)
    with pytest.raises(ModelError, match=r"data\.state names 'out', which is no output of it\. Its outputs are y, hn"):
        SequenceSession(path, {"h": "out"}, 6)
    with pytest.raises(ModelError, match="its input 'c' is given nothing"):
        SequenceSession(path, {"h": "hn"}, 6).ask({"x": X[:, :, None]})
    nodes = [helper.make_node("Add", ["x", "s"], ["t"])]
    ends = {"x": (TensorProto.FLOAT, ("n", 2)), "s": (TensorProto.FLOAT, ("n", "wide"))}
    free = networks.save(tmp_path / "free.onnx", nodes, ends, {"t": TensorProto.FLOAT})
    with pytest.raises(ModelError, match=r"its state 's' is \['n', 'wide'\], of no fixed size: give .* array `s`"):
        SequenceSession(free, {"s": "t"}, 3).ask({"x": X[:, :3, :2]})


def test_arrays_of_other_steps_than_the_data_says_are_told_with_both_numbers(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "s"], ["t"])]
    ends = dict.fromkeys(("x", "s"), (TensorProto.FLOAT, ("n", 2)))
    session = SequenceSession(networks.save(tmp_path / "m.onnx", nodes, ends, {"t": TensorProto.FLOAT}), {"s": "t"}, 6)
    with pytest.raises(
        ModelError, match=r"data\.steps=6, and the array `x` has 7, .* set data\.steps=7, else give the"
    ):
        session.ask({"x": np.zeros((3, 7, 2), np.float32)})
