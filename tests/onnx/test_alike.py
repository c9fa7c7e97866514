"""One comparison of answers: the largest difference, its share, where the largest value stands, and what is finite."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.onnx.alike import alike, all_alike

WANTED = np.float32([[1, 2, 4], [8, 0, -1]])


def test_each_example_is_told_by_its_largest_difference() -> None:
    found = alike(WANTED, WANTED + np.float32([[0, 0.5, 0], [0, 9, 0]]))
    assert found.differences.tolist() == [0.5, 9]
    assert (found.largest_difference, found.largest, found.share) == (9, 8, 9 / 8)
    assert found.same.tolist() == [True, False]
    assert found.agreement == 0.5
    assert found.finite and found.one_shape


def test_equal_answers_differ_by_nothing_whatever_their_type() -> None:
    for kind in (np.bool_, np.uint8, np.int64, np.float16, np.float64):
        found = alike(WANTED.clip(0).astype(kind), WANTED.clip(0).astype(kind))
        assert (found.share, found.agreement) == (0, 1)
    assert alike(np.array([True]), np.array([False])).largest_difference == 1
    assert alike(np.uint8([[0]]), np.uint8([[255]])).share == 255  # all wanted ones are 0: as it is


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_told_and_is_never_alike(bad: float) -> None:
    got = WANTED.copy()
    got[1, 2] = bad
    found = alike(WANTED, got)
    assert not found.finite
    assert not found.share <= 1e9
    assert alike(got, got).finite == np.isinf(bad)


def test_between_shapes_nothing_is_alike() -> None:
    found = alike(WANTED, WANTED[:, :2])
    assert not found.one_shape
    assert (found.shapes, found.share, found.agreement) == (((2, 3), (2, 2)), np.inf, 0)


def test_parts_together_are_the_whole() -> None:
    got = WANTED * np.float32([[1.1], [0.9]])
    whole = alike(WANTED, got)
    parts = alike(WANTED[:1], got[:1]).and_then(alike(WANTED[1:], got[1:]))
    assert (parts.share, parts.agreement, parts.differences.tolist()) == (
        whole.share,
        whole.agreement,
        whole.differences.tolist(),
    )


def test_no_examples_and_no_values_differ_by_nothing() -> None:
    for shape in ((0, 3), (3, 0)):
        found = alike(np.empty(shape), np.empty(shape))
        assert (found.share, found.agreement, found.finite) == (0, 1, True)


def test_named_outputs_are_compared_one_by_one() -> None:
    found = all_alike({"a": WANTED, "b": WANTED[0]}, {"b": WANTED[0] + 1, "a": WANTED, "more": WANTED})
    assert {name: one.largest_difference for name, one in found.items()} == {"a": 0, "b": 1}


def test_the_same_infinity_is_no_difference_and_another_one_is() -> None:
    masked = np.array([[1.0, -np.inf, 3.0], [-np.inf, 2.0, 1.0]], np.float32)
    found = alike(masked, masked + np.float32([0.5, 0, 0]))
    assert found.finite and found.largest_difference == 0.5 and found.largest == 3.0
    other = masked.copy()
    other[1, 0] = 5.0
    assert not alike(masked, other).finite
    assert not alike(masked, -masked).finite
