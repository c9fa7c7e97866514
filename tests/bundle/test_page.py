"""Every model of one picture has a page; a task brings its own module for its answers, or they are numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from edgepipe.bundle.page import FILES, FIXED, module_files, put_page
from edgepipe.contract import Signature
from edgepipe.errors import ModelError
from edgepipe.plugins import entries, find
from edgepipe.tasks.regression import Regression
from edgepipe.tasks.segmentation import Segmentation
from tests.tasks.pages.node import NODE, in_node, packed

SIGNATURE = Signature(input_shape=(3, 8, 8), classes=("a", "b"))
MAPS = np.random.default_rng(0).standard_normal((2, 2, 8, 8)).astype(np.float32)


def test_a_tasks_module_comes_with_those_that_it_imports(tmp_path: Path) -> None:
    found = put_page(tmp_path, Segmentation(), {"y": MAPS}, SIGNATURE)
    assert found is not None
    assert found["module"] == "page/segmentation.mjs"
    assert json.loads(json.dumps(found["settings"]))["size"] == [8, 8]
    assert {path.name for path in (tmp_path / "page").iterdir()} == {"segmentation.mjs", "maps.mjs"}
    assert all((tmp_path / name).is_file() for name in FIXED)


def test_a_task_without_a_module_and_outputs_that_are_none_of_a_tasks_are_numbers(tmp_path: Path) -> None:
    assert put_page(tmp_path, Regression(), {"y": MAPS[:, 0, 0]}, SIGNATURE) is None
    assert put_page(tmp_path, Segmentation(), {"y": MAPS[:, 0, 0]}, SIGNATURE) is None
    assert not (tmp_path / "page").exists()


def test_every_module_that_a_task_names_is_there_with_all_that_it_imports() -> None:
    for name in entries("tasks"):
        page = find("tasks", name).page
        if page:
            assert all(file.is_file() for file in module_files(page)), page


def test_a_module_that_is_nowhere_is_refused() -> None:
    class Lost(Regression):
        page: ClassVar[str] = "edgepipe.tasks/pages/lost.mjs"

    with pytest.raises(ModelError, match=r"task's page 'edgepipe.tasks/pages/lost.mjs': no such module"):
        module_files(Lost.page)


@pytest.mark.skipif(NODE is not None, reason=str(NODE))
def test_outputs_without_a_module_are_told_by_name_and_shape() -> None:
    outputs = {"pooled": np.arange(10, dtype=np.float32) / 3, "ids": np.array([3], np.int64)}
    found: Any = in_node(
        FILES / "numbers.mjs", "return page.answered(arrays(given.outputs));", {"outputs": packed(outputs)}
    )
    assert found["rows"] == [
        ["pooled [10]", "0, 0.333333, 0.666667, 1, 1.33333, 1.66667, 2, 2.33333 … (10 values)"],
        ["ids [1]", "3"],
    ]
