"""What this package brings keeps the contracts of edgepipe: one line each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from edgepipe_tags.clip_weights import ClipWeights
from edgepipe_tags.csv_data import CsvData
from edgepipe_tags.layers import LayersModel
from edgepipe_tags.onnx_gz import OnnxGz
from edgepipe_tags.plain_cpu import PlainCpu
from edgepipe_tags.tags import Tags

from edgepipe.contract import Signature
from edgepipe.testing import Broken, check_data, check_format, check_pass, check_place, check_source, check_task


def table(path: Path, seed: int, rows: int = 20) -> Path:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.standard_normal((rows, 6)), rng.integers(0, 2, (rows, 3))], axis=1)
    np.savetxt(path, values, delimiter=",", header="a,b,c,d,e,f,x,y,z", comments="")
    return path


def test_the_task() -> None:
    check_task(Tags)


def test_the_data(tmp_path: Path) -> None:
    settings = {"train": table(tmp_path / "t.csv", 0), "labels": 3, "calibration_size": 8}
    changed = CsvData(evaluation=table(tmp_path / "f.csv", 2), **settings)
    check_data(CsvData(evaluation=table(tmp_path / "e.csv", 1), **settings), changed=changed)


def test_the_model_source(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    layers = [{"weights": rng.standard_normal(shape).tolist(), "bias": [0.0] * shape[0]} for shape in ((5, 6), (3, 5))]
    (tmp_path / "m.json").write_text(json.dumps(layers), encoding="utf-8")
    check_source(LayersModel(path=str(tmp_path / "m.json")), signature=Signature(input_shape=(6,)))


def test_the_format() -> None:
    check_format(OnnxGz)


def test_the_place() -> None:
    check_place(PlainCpu)


def test_the_pass() -> None:
    check_pass(ClipWeights(limit=0.1))


METHODS = [name for name, value in vars(Tags).items() if callable(value) and not name.startswith("_")]


@pytest.mark.parametrize("method", METHODS)
def test_a_task_without_one_of_its_methods_is_told_by_its_name(method: str) -> None:
    kept = ("measures", "__annotations__", "__doc__", "__module__", "_f1", "_figures", *METHODS)
    namespace = {name: vars(Tags)[name] for name in kept if name != method and name in vars(Tags)}
    namespace["__annotations__"] = {"measures": "ClassVar[Any]", "threshold": "float"}
    namespace["threshold"] = Tags.model_fields["threshold"]
    without = type(Tags)("Without", Tags.__bases__, namespace)
    with pytest.raises(Broken, match=rf"^Without\.{method}: "):
        check_task(without)


def test_all_that_is_the_tasks_is_tried() -> None:
    assert METHODS == ["misfit", "targets", "answers", "measured", "compared", "alike"]
