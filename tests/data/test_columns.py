"""What no column of pictures or numbers should hold is told with its row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgepipe.contract import Split
from edgepipe.data.parquet import ParquetData
from edgepipe.errors import DataError
from tests.data.test_parquet import written


@pytest.mark.parametrize(
    ("content", "settings", "said"),
    [
        ([{"image": {"bytes": None, "path": "/etc/passwd"}}], {"image": "image"}, "a table may not choose files"),
        ([{"image": {"bytes": b"no", "path": None}}], {"image": "image"}, "row 0: `image`: not a readable picture"),
        ([{"image": "word"}], {"image": "image"}, "holds str, and encoded pictures are wanted"),
        ([{"image": [[300]]}], {"image": "image"}, "is no picture"),
        ([{"image": {"bytes": b"x", "path": None}}], {}, "no column of numbers: set data.image=image"),
        ([{"x": "word"}], {}, "no column of numbers: name columns with data.inputs"),
        ([{"x": 1.0}], {"inputs": {"x": "z"}}, r"has no column `z` \(data.inputs.x\); its columns are `x`"),
        ([{"x": 1.0}, {"x": float("nan")}], {}, "row 1: `x`: holds NaN"),
        ([{"x": 1.0}, {"x": None}], {}, "row 1: `x` is empty"),
        ([{"x": "1"}, {"x": "word"}], {"inputs": {"x": "x"}}, "row 1: `x`: holds 'word', which is no number"),
        ([{"x": [[1.0], [1.0, 2.0]]}], {"inputs": {"x": "x"}}, "no number or even list"),
        ([{"x": [[1.0]], "z": 1.0}], {"inputs": {"x": ["x", "z"]}}, "joins columns of nested lists"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_row(content: Any, settings: Any, said: str, tmp_path: Path) -> None:
    path = written(tmp_path / "e.parquet", content)
    with pytest.raises(DataError, match=f"data.evaluation=.*{said}"):
        next(ParquetData(evaluation=path, **settings).open(tmp_path).batches(Split.EVALUATION, 4))


def test_whole_numbers_that_become_others_are_told(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("x\n1\n1.5\n")
    with pytest.raises(DataError, match=r"row 1: input 'x' holds 1\.5 where others are whole numbers: set data\.dtype"):
        ParquetData(evaluation=path, inputs={"x": "x"}).open(tmp_path)
    assert ParquetData(evaluation=path, inputs={"x": "x"}, dtype="float32").open(tmp_path).count(Split.EVALUATION) == 2
