"""A session takes arrays by the names of inputs, any number of them and of any type, and hands out outputs by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgepipe.errors import MeasureError, ModelError
from edgepipe.onnx.session import Session, words
from edgepipe.onnx.session_options import measuring, quiet_options
from tests.onnx import networks

IDS = np.array([[1, 2, 3, 0], [4, 5, 0, 0], [6, 7, 8, 9]])
TOKENS = {"ids": IDS, "mask": (IDS > 0).astype(np.int64), "types": np.zeros_like(IDS)}


def test_ends_are_told_with_names_types_and_sizes(tmp_path: Path) -> None:
    session = Session(networks.recurrent(tmp_path / "m.onnx"))
    assert [(item.name, str(item.dtype), item.shape) for item in session.inputs] == [
        ("x", "float32", ("batch", "length", 4)),
        ("h", "float32", (1, "batch", 3)),
        ("c", "float32", (1, "batch", 3)),
    ]
    assert [item.name for item in session.outputs] == ["y", "hn", "cn"]


def test_three_inputs_give_two_outputs_by_their_names(tmp_path: Path) -> None:
    session = Session(networks.encoder(tmp_path / "m.onnx"))
    found = session.run(TOKENS)
    assert {name: value.shape for name, value in found.items()} == {"states": (3, 4, 6), "pooled": (3, 6)}
    assert not found["states"][TOKENS["mask"] == 0].any()
    np.testing.assert_allclose(found["pooled"], found["states"].mean(axis=1), atol=1e-6)
    (only,) = session.run(dict(reversed(TOKENS.items())), ["pooled"]).values()  # in whatever order they are given
    assert np.array_equal(only, found["pooled"])
    assert np.array_equal(session.first(TOKENS), found["states"])


def test_a_name_that_does_not_fit_says_which_names_there_are(tmp_path: Path) -> None:
    session = Session(networks.encoder(tmp_path / "m.onnx"), name="m.onnx")
    wrong = {"ids": IDS, "masks": IDS, "types": IDS}
    told = r"^m\.onnx: has no input 'masks'; its input 'mask' is given nothing. Its inputs are ids, mask, types$"
    with pytest.raises(ModelError, match=told):
        session.run(wrong)
    with pytest.raises(ModelError, match=r"takes 3 inputs \(ids, mask, types\), and is given one"):
        session.run(IDS)
    with pytest.raises(MeasureError, match=r"has 3 inputs \('ids', 'mask', 'types'\); only models with one are mended"):
        session.only_input("mended")


def test_numbers_become_the_types_of_inputs_or_are_refused_by_name(tmp_path: Path) -> None:
    session = Session(networks.mixed_types(tmp_path / "m.onnx"), name="m.onnx")
    assert [str(item.dtype) for item in session.inputs] == ["int32", "bool", "float16"]
    given = {
        "whole": np.float64([[1, 2, 2.9999998]]),
        "which": np.uint8([[1, 0, 1]]),
        "half": np.float32([[0.5, 0.25, 0.1]]),
    }
    np.testing.assert_array_equal(session.first(given), np.float32([[1, 0.25, 3]]))
    with pytest.raises(ModelError, match=r"m\.onnx: its input 'whole' takes whole numbers \(int32"):
        session.run({**given, "whole": np.float32([[0.5, 1, 2]])})
    with pytest.raises(ModelError, match=r"its input 'which' takes whole numbers \(bool, 0 to 1\).* to 2 \(shown\)"):
        session.check({**given, "which": np.uint8([[0, 1, 2]])}, "shown")
    session.check(given, "")


def test_five_outputs_keep_their_types(tmp_path: Path) -> None:
    found = Session(networks.five_outputs(tmp_path / "m.onnx")).run(np.float32([[1, -2, 3, -4], [9, 1, 1, 1]]))
    assert {name: (str(value.dtype), value.shape) for name, value in found.items()} == {
        "a": ("float32", (2, 4)),
        "b": ("float32", (4, 2)),
        "c": ("int64", (2,)),
        "d": ("bool", (2, 4)),
        "e": ("float16", (2, 1)),
    }
    assert found["c"].tolist() == [2, 0]


def test_a_free_height_and_width_take_any_picture(tmp_path: Path) -> None:
    session = Session(networks.free_picture(tmp_path / "m.onnx"))
    for height, width in ((4, 9), (7, 3)):
        assert session.first(np.zeros((2, 3, height, width))).shape == (2, 2, height, width)
    with pytest.raises(MeasureError, match=r"input 'x' has 4 axes, but the data gives 3: \(3, 4, 9\)"):
        session.run(np.zeros((3, 4, 9)))


def test_examples_are_repeated_or_cut_to_a_run_and_its_call_is_timed_on_them(tmp_path: Path) -> None:
    one = {name: value[:1] for name, value in TOKENS.items()}
    fixed = Session(networks.encoder(tmp_path / "m.onnx", batch=2), measuring(1))
    assert {name: value.shape for name, value in fixed.fit(one).items()} == dict.fromkeys(TOKENS, (2, 4))
    free = Session(networks.encoder(tmp_path / "n.onnx"))
    assert {value.shape for value in free.fit(TOKENS).values()} == {(1, 4)}
    states, pooled = free.timed(free.fit(TOKENS))()
    assert (states.shape, pooled.shape) == ((1, 4, 6), (1, 6))


def test_bytes_are_opened_as_files_are_and_what_is_neither_is_told(tmp_path: Path) -> None:
    content = networks.five_outputs(tmp_path / "m.onnx").read_bytes()
    assert Session(content).name == "the network"
    with pytest.raises(MeasureError, match=r"^spoiled: ONNX Runtime cannot open it: "):
        Session(content[:40], name="spoiled")
    (tmp_path / "spoiled.onnx").write_bytes(content[:40])
    with pytest.raises(MeasureError, match=r"spoiled\.onnx: ONNX Runtime cannot open it: ") as caught:
        Session(tmp_path / "spoiled.onnx", quiet_options())
    assert "cannot open it" not in words(caught.value)
    assert words(ModelError("plain")) == "plain"


def test_a_constant_that_could_be_fed_is_no_input(tmp_path: Path) -> None:
    path = networks.free_picture(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [2, 3, 3, 3]))
    onnx.save(model, path)
    assert Session(path).only_input("measured").name == "x"


def test_an_input_called_labels_is_told_how_it_is_given(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "labels"], ["y"])]
    ends = dict.fromkeys(("x", "labels"), (TensorProto.FLOAT, ("n", 2)))
    session = Session(networks.save(tmp_path / "m.onnx", nodes, ends, {"y": TensorProto.FLOAT}))
    with pytest.raises(ModelError, match=r"its input 'labels' is given nothing\..* set data\.labels to another name"):
        session.run({"x": np.zeros((1, 2), np.float32)})
