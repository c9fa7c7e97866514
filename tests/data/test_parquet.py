"""Columns of pictures and numbers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import ipc, parquet
from pydantic import ValidationError

from edgepipe.contract import Split, Tensor
from edgepipe.data.image_folder import ImageFolderData
from edgepipe.data.parquet import ParquetData
from edgepipe.start.look import data_at

COUNT = 20


def encoded(seed: int, row: int) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng([seed, row]).integers(0, 256, (9, 12, 3), np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def rows(seed: int = 0, count: int = COUNT) -> list[dict[str, Any]]:
    """Pictures as the `datasets` library writes them, numbers, lists of them and labels."""
    rng = np.random.default_rng(seed)
    return [
        {
            "image": {"bytes": encoded(seed, row), "path": None},
            "age": int(rng.integers(9, 90)),
            "height": float(np.float32(rng.random())),
            "spectrum": [float(np.float32(value)) for value in rng.random(4)],
            "label": row % 3,
        }
        for row in range(count)
    ]


def written(path: Path, content: list[dict[str, Any]], names: list[str] | None = None) -> Path:
    """As Parquet or Arrow, by the suffix; `names`: of the classes, as the `datasets` library says them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(content)
    if names:
        about = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    if path.suffix == ".arrow":
        with ipc.new_stream(str(path), table.schema) as stream:
            stream.write_table(table)
    else:
        parquet.write_table(table, path, row_group_size=7)
    return path


def rows_source(folder: Path, seed: int) -> ParquetData:
    """Pictures and numbers in a folder as `save_to_disk` lays it out."""
    written(folder / "train" / "data-00000-of-00001.arrow", rows(seed), ["a", "b", "c"])
    written(folder / "test" / "data-00000-of-00001.arrow", rows(seed + 100, 9), ["a", "b", "c"])
    inputs: dict[str, Any] = {"about": ["age", "height"], "spectrum": "spectrum"}
    return ParquetData(root=folder, image="image", inputs=inputs, label="label", image_size=8)


def test_pictures_are_prepared_as_those_of_files(tmp_path: Path) -> None:
    path = written(tmp_path / "e.parquet", rows(), ["a", "b", "c"])
    how: dict[str, Any] = {"image_size": (6, 8), "fit": "letterbox", "mean": (0.5,) * 3, "std": (0.5,) * 3}
    data = ParquetData(evaluation=path, image="image", label="label", **how).open(tmp_path)
    assert data.signature.classes == ("a", "b", "c") and data.signature.preprocessing.fit == "letterbox"
    batch = next(data.batches(Split.EVALUATION, COUNT))
    for row in range(COUNT):
        place = tmp_path / "p" / "test" / "abc"[row % 3] / f"{row}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encoded(0, row))
    files = ImageFolderData(root=tmp_path / "p", workers=0, calibration_size=0, **how).open(tmp_path)
    other = next(files.batches(Split.EVALUATION, COUNT))
    assert {bytes(picture) for picture in batch.only} == {bytes(picture) for picture in other.only}
    assert batch.labels is not None and batch.labels.tolist() == [row % 3 for row in range(COUNT)]


def test_several_inputs_have_names_and_the_types_of_their_columns(tmp_path: Path) -> None:
    data = rows_source(tmp_path, 0).open(tmp_path)
    assert [(item.name, item.dtype, item.shape) for item in data.signature.inputs] == [
        ("image", "float32", (3, 8, 8)),
        ("about", "float32", (2,)),
        ("spectrum", "float32", (4,)),
    ]
    assert [data.count(split) for split in Split] == [COUNT, COUNT, 9]
    batch = next(data.batches(Split.TRAIN, 2, [8, 1]))
    wanted = [rows()[row] for row in (8, 1)]
    assert batch.inputs["about"].tolist() == [[row["age"], row["height"]] for row in wanted]
    assert batch.inputs["spectrum"].tolist() == [row["spectrum"] for row in wanted]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".jsonl"])
def test_all_columns_of_numbers_are_one_input(tmp_path: Path, suffix: str) -> None:
    content = [{name: row[name] for name in ("age", "label", "height")} for row in rows()]
    path = tmp_path / f"e{suffix}"
    if suffix == ".csv":
        lines = [",".join(map(str, row.values())) for row in content]
        path.write_text("age,label,height\n" + "\n".join(lines) + "\n")
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    else:
        written(path, content)
    data = ParquetData(train=path, label="label", evaluation_share=0.25).open(tmp_path)
    assert data.signature.inputs == (Tensor(name="input", shape=(2,)),)
    assert [data.count(split) for split in Split] == [15, 15, 5]
    given = {(row["age"], np.float32(row["height"])) for row in content}
    assert {
        tuple(row) for split in (Split.TRAIN, Split.EVALUATION) for b in data.batches(split, 4) for row in b.only
    } == given


def test_types_and_free_lengths(tmp_path: Path) -> None:
    path = written(tmp_path / "e.parquet", [{"ids": [1] * (2 + row % 2), "y": row / 3} for row in range(4)])
    data = ParquetData(evaluation=path, inputs={"ids": "ids"}, label="y").open(tmp_path)
    assert (data.signature.inputs[0].dtype, data.signature.inputs[0].shape) == ("int64", ("ids_0",))
    assert data.signature.task == "regression"
    assert (
        ParquetData(evaluation=path, inputs={"ids": "ids"}, dtype="int32").open(tmp_path).signature.inputs[0].dtype
        == "int32"
    )


def test_pixels_may_be_lists(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3))
    path = written(tmp_path / "e.parquet", [{"image": item.tolist()} for item in pixels])
    data = ParquetData(evaluation=path, image="image", image_size=5, mean=(0, 0, 0), std=(1, 1, 1), scale=1).open(
        tmp_path
    )
    assert np.array_equal(next(data.batches(Split.EVALUATION, 2)).only, pixels.transpose(0, 3, 1, 2))


def test_settings_that_name_a_column_twice_are_refused() -> None:
    for settings in (
        {"image": "y"},
        {"inputs": {"x": ["y"]}},
        {"inputs": {"x": ()}},
        {"image": "x", "inputs": {"x": "a"}},
    ):
        with pytest.raises(ValidationError):
            ParquetData(evaluation=Path("e.parquet"), label="y", **settings)


def test_a_table_is_known_by_its_columns_and_what_the_model_takes(tmp_path: Path) -> None:
    written(tmp_path / "d" / "train-00000-of-00001.parquet", rows())
    seen = data_at(str(tmp_path / "d"), [Tensor(name="x", shape=(3, 16, 24))])
    assert (seen.source, seen.guess.settings) == (
        "parquet",
        {"root": str(tmp_path / "d"), "image": "image", "label": "label", "image_size": [16, 24]},
    )
    file = written(tmp_path / "n.parquet", [{name: row[name] for name in ("age", "label")} for row in rows()])
    seen = data_at(str(file), [Tensor(name="x", shape=(1,))])
    assert (seen.source, seen.guess.settings) == ("parquet", {"train": str(file), "label": "label"})
    assert seen.guess.why == "1 columns of numbers in n.parquet"
