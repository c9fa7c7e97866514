"""The page takes the class for every pixel that the task takes."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.contract import Signature
from edgepipe.tasks.segmentation import Segmentation
from tests.tasks.pages.node import NODE, PAGES, answered, in_node, packed

pytestmark = pytest.mark.skipif(NODE is not None, reason=str(NODE))
DRAW = np.random.default_rng(0)
SIGNATURE = Signature(input_shape=(3, 24, 32), classes=("sky", "road", "tree", "car", "sign"))
CASES = {
    "classes first, enlarged": (DRAW.standard_normal((2, 5, 6, 8)).astype(np.float32), {}),
    "classes last, an odd stride": (DRAW.standard_normal((2, 7, 9, 5)).astype(np.float32), {}),
    "as large as the input": (DRAW.standard_normal((2, 5, 24, 32)).astype(np.float32), {}),
    "larger than the input": (DRAW.standard_normal((2, 5, 48, 64)).astype(np.float32), {}),
    "one map of probabilities": (DRAW.random((2, 1, 12, 16)).astype(np.float32), {"threshold": 0.7}),
    "one map of logits": (DRAW.standard_normal((2, 12, 16)).astype(np.float32), {"threshold": 0.2}),
    "classes themselves": (DRAW.integers(0, 5, (2, 24, 32)), {}),
    "classes with an axis of one": (DRAW.integers(0, 5, (2, 1, 24, 32)).astype(np.int32), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_page_decides_as_the_task_does(case: str) -> None:
    maps, how = CASES[case]
    task = Segmentation(**how)
    settings = task.for_page({"y": maps}, SIGNATURE)
    wanted = task.answers({"y": maps}, SIGNATURE, "it")["masks"]
    script = "return given.rows.map((row) => page.classesOf(arrays(row), given.settings));"
    given = {"rows": [packed({"y": row}) for row in maps], "settings": settings}
    for (flat, *size), mask in zip(in_node(PAGES / "segmentation.mjs", script, given), wanted, strict=True):
        assert tuple(size) == mask.shape
        assert np.array_equal(np.reshape(flat, mask.shape), mask)


def test_classes_without_a_name_are_called_by_their_number() -> None:
    mask = np.array([[0, 1], [1, 7]], np.int64)
    found = answered("segmentation", {"y": mask}, {"classes": True, "output": None}, classes=["sky", "road"])
    assert found["mask"]["names"] == ["sky", "road", None, None, None, None, None, "class 7"]
