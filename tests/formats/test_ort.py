"""ONNX Runtime's own format keeps every input and output, and names the operators that a minimal build needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgepipe.formats.ort import Ort
from edgepipe.onnx.answers import named_answers
from tests.onnx import networks


def test_the_ort_file_answers_every_output_and_lists_operators_without_a_path(tmp_path: Path) -> None:
    file = networks.encoder(tmp_path / "m.onnx")
    written = Ort().write(file, tmp_path, 0)
    assert [path.name for path in written.files] == ["model.ort", "required_operators.config"]
    rows = {name: np.ones((3, 5), np.int64) for name in ("ids", "mask", "types")}
    found, wanted = written.answers(rows), named_answers(file)(rows)
    assert found.keys() == wanted.keys() == {"states", "pooled"}
    assert all(np.allclose(found[name], wanted[name], atol=1e-6) for name in wanted)
    listed = written.files[1].read_text()
    assert "Gather" in listed
    assert str(tmp_path) not in listed
