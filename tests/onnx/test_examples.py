"""The axis of each input that counts examples is found by its name, its size and the shape of an example."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepipe.errors import MeasureError
from edgepipe.onnx.examples import places
from edgepipe.onnx.session import Session
from edgepipe.onnx.tensor_types import Tensor
from tests.onnx import networks

FLOAT = np.dtype(np.float32)


def axes(shapes: dict[str, tuple[tuple[int | str | None, ...] | None, tuple[int, ...]]]) -> tuple[object, int | None]:
    """Of inputs by name, as (declared sizes, shape of an example)."""
    inputs = [Tensor(name, FLOAT, sizes) for name, (sizes, _) in shapes.items()]
    found = places(inputs, {name: shape for name, (_, shape) in shapes.items()}, "m")
    return dict(found.axes), found.fixed


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"x": (("n", 3, "h", "w"), (3, 8, 8))}, ({"x": 0}, None)),
        ({"x": ((16, 3, 8, 8), (3, 8, 8))}, ({"x": 0}, 16)),
        ({"x": ((1, "length"), (1,))}, ({"x": 0}, 1)),  # a single input counts first where it may
        ({"x": ((20, "n", 4), (20, 4))}, ({"x": 1}, None)),  # but one that is called so does before
        ({"x": (("time", "batch", 6), (9, 6))}, ({"x": 1}, None)),
        ({"x": (("time", "row", 6), (9, 6))}, ({"x": 0}, None)),
        ({"x": ((2, "n", 4), (2, 4)), "y": (("n", 7), (7,))}, ({"x": 1, "y": 0}, None)),
        ({"x": (None, (3,))}, ({"x": 0}, None)),
        ({"x": ((3, 8, 8), (3, 8, 8))}, ({"x": None}, 1)),  # no axis counts: one example, as it is
        ({"ids": (("b", "l"), (7,)), "mask": (("b", "l"), (7,))}, ({"ids": 0, "mask": 0}, None)),
        ({"x": (("b", "l", 4), (5, 4)), "h": ((1, "b", 8), (1, 8))}, ({"x": 0, "h": 1}, None)),
        ({"x": ((None, "l", 4), (5, 4)), "h": ((1, None, 8), (1, 8))}, ({"x": 0, "h": 1}, None)),
        ({"x": ((3, 5, 4), (5, 4)), "h": ((2, 3, 8), (2, 8))}, ({"x": 0, "h": 1}, 3)),
        ({"x": (("l", "b", 4), (5, 4)), "h": ((1, "b", 8), (1, 8))}, ({"x": 1, "h": 1}, None)),
        ({"ids": ((4, "l"), (4,)), "mask": ((4, "l"), (4,))}, ({"ids": 0, "mask": 0}, 4)),
        ({"a": (("a_0", "l"), (4,)), "b": (("b_0", 7), (7,))}, ({"a": 0, "b": 0}, None)),
        ({"x": (("n", 4), (4,)), "limit": ((1,), (1,))}, ({"x": 0, "limit": None}, 1)),
    ],
)
def test_the_axis_that_counts_examples(shapes, expected) -> None:
    assert axes(shapes) == expected


def test_inputs_that_take_different_numbers_of_examples_are_refused() -> None:
    with pytest.raises(MeasureError, match=r"m: its inputs take different numbers of examples at once: 'a' 2, 'b' 3"):
        axes({"a": ((2, 4), (4,)), "b": ((3, 5), (5,))})


def test_a_state_is_given_with_its_batch_on_axis_1(tmp_path: Path) -> None:
    session = Session(networks.recurrent(tmp_path / "m.onnx"))
    rows = {"x": np.zeros((6, 5, 4)), "h": np.arange(18).reshape(6, 1, 3), "c": np.zeros((6, 1, 3))}
    placed = session.placed(rows)
    assert {name: value.shape for name, value in placed.items()} == {"x": (6, 5, 4), "h": (1, 6, 3), "c": (1, 6, 3)}
    assert np.array_equal(placed["h"][0], rows["h"][:, 0])


def test_several_examples_of_a_network_that_takes_one_are_refused() -> None:
    found = places([Tensor("x", FLOAT, (3, 8))], {"x": (3, 8)}, "m")
    assert found.placed({"x": np.zeros((1, 3, 8))})["x"].shape == (3, 8)
    with pytest.raises(MeasureError, match="m: input 'x' takes one example at a time: no axis of it counts them"):
        found.placed({"x": np.zeros((2, 3, 8))})
