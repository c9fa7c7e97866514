"""Tensors with names."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgepipe.contract import Signature, Tensor
from edgepipe.errors import ModelError


def test_one_shape_is_short_for_one_float_input() -> None:
    short = Signature(input_shape=(3, 8, 8))
    assert short.inputs == (Tensor(name="input", dtype="float32", shape=(3, 8, 8)),)
    assert short.input_shape == (3, 8, 8)
    assert Signature.model_validate_json(short.model_dump_json()) == short


def test_the_shape_of_several_inputs_or_of_a_free_axis_is_refused_by_name() -> None:
    ids, mask = (Tensor(name=name, dtype="int64", shape=("length",)) for name in ("ids", "mask"))
    with pytest.raises(ModelError, match=r"2 inputs \('ids', 'mask'\)"):
        _ = Signature(inputs=(ids, mask)).input_shape
    with pytest.raises(ModelError, match=r"'ids' has no fixed shape: \['length'\]"):
        _ = Signature(inputs=(ids,)).input_shape
    assert not ids.fixed
    assert Tensor(name="x", shape=(1, 2)).fixed


def test_a_signature_holds_nothing_that_it_does_not_know() -> None:
    with pytest.raises(ValidationError):
        Signature(input_shape=(1,), colour="red")
