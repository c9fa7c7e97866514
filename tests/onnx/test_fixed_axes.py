"""Axes with names, given numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepipe.errors import EdgepipeError
from edgepipe.onnx.fixed_axes import fix_axes
from edgepipe.onnx.session import Session
from tests.onnx import networks


def test_an_axis_is_fixed_in_every_input_and_answers_stay(tmp_path: Path) -> None:
    file = networks.encoder(tmp_path / "m.onnx")
    fix_axes(file, tmp_path / "fixed.onnx", {"length": 4})
    before, now = Session(file), Session(tmp_path / "fixed.onnx")
    assert [item.shape for item in now.inputs] == [("batch", 4)] * 3
    rows = {name: np.ones((2, 4), np.int64) for name in ("ids", "mask", "types")}
    for name, values in before.run(rows).items():
        assert np.array_equal(values, now.run(rows)[name])
    with pytest.raises(EdgepipeError):
        now.run({name: value[:, :3] for name, value in rows.items()})
