"""A model is scored with what it may have been trained on, and the right preprocessing wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgepipe.start.scored import scored
from tests.start import bright


def _content(tmp_path: Path, **data: Any) -> dict[str, Any]:
    bright.network(tmp_path / "m.onnx")
    return {"name": "new", "model": {"source": "onnx", "path": str(tmp_path / "m.onnx")}, "data": data}


def test_values_of_0_to_1_are_found_where_imagenets_mean_tells_nothing_apart(tmp_path: Path) -> None:
    bright.pictures(tmp_path / "p")
    content = _content(
        tmp_path, source="image_folder", root=str(tmp_path / "p"), image_size=bright.SIDE, calibration_size=4
    )
    found = scored(content, tmp_path / "store")
    assert (found.task, found.tried[0].value, found.best.value) == ("classification", 0.5, 1.0)
    assert found.best.words == "values of 0 to 1"
    assert found.best.source.model_dump()["std"] == (1.0, 1.0, 1.0)
    assert found.train == 32  # a fifth of 40 is held out


def test_a_preprocessing_that_is_right_already_stays(tmp_path: Path) -> None:
    bright.pictures(tmp_path / "p")
    content = _content(
        tmp_path,
        source="image_folder",
        root=str(tmp_path / "p"),
        image_size=bright.SIDE,
        calibration_size=4,
        mean=[0, 0, 0],
        std=[1, 1, 1],
    )
    found = scored(content, tmp_path / "store")
    assert found.best is found.tried[0]
    assert len(found.tried) > 5


def test_without_labels_nothing_is_tried(tmp_path: Path) -> None:
    arrays = np.random.default_rng(0).random((6, 3, bright.SIDE, bright.SIDE), np.float32)
    np.savez(tmp_path / "e.npz", images=arrays)
    np.savez(tmp_path / "c.npz", images=arrays[::-1] * 0.5)
    content = _content(tmp_path, source="npz", evaluation=str(tmp_path / "e.npz"), calibration=str(tmp_path / "c.npz"))
    found = scored(content, tmp_path / "store")
    assert [each.value for each in found.tried] == [None]
    assert found.train == 6
