"""Which formats an export wants."""

from __future__ import annotations

import pytest

from edgepipe.formats.export import chosen
from edgepipe.formats.ort import Ort


def test_onnx_is_written_anyway_and_the_others_come_with_their_settings() -> None:
    assert chosen(["onnx"]) == {}
    assert chosen(["onnx", "ort"]) == {"ort": Ort()}


def test_an_unknown_name_and_one_named_twice_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown format 'orrt'. Did you mean 'ort'"):
        chosen(["orrt"])
    with pytest.raises(ValueError, match="'ort' is named twice"):
        chosen(["ort", {"name": "ort"}])
