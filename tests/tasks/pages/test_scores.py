"""The page says yes where the task does."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.contract import Signature
from edgepipe.tasks.scores import Scores
from tests.tasks.pages.node import NODE, PAGES, answered, in_node, packed

pytestmark = pytest.mark.skipif(NODE is not None, reason=str(NODE))
SIGNATURE = Signature(input_shape=(16,))
DRAW = np.random.default_rng(0)


@pytest.mark.parametrize("how", [{}, {"column": 1}, {"column": -2, "pool": "max"}, {"pool": "mean"}])
def test_the_page_takes_the_tasks_scores(how: dict) -> None:
    outputs, task = {"y": DRAW.standard_normal((2, 30, 2)).astype(np.float32)}, Scores(**how)
    wanted = task.answers(outputs, SIGNATURE, "it")["scores"][0]
    settings = task.for_page(outputs, SIGNATURE)
    assert (settings["probable"], settings["cut"]) == (False, 0.0)
    given = {"outputs": packed({"y": outputs["y"][0]}), "settings": settings}
    script = "return page.scoresOf(arrays(given.outputs).y, given.settings);"
    assert np.allclose(in_node(PAGES / "scores.mjs", script, given), wanted, atol=1e-6)


def test_frames_become_a_line_and_one_score_a_word() -> None:
    frames = {"y": np.float32([[0.1, 0.7, 0.9, 0.2]])}
    found = answered("scores", {"y": frames["y"][0]}, Scores(threshold=0.6).for_page(frames, SIGNATURE))
    assert found["title"] == "yes in 50%"
    assert found["series"]["cut"] == 0.6
    assert (found["series"]["low"], found["series"]["high"]) == (0, 1)
    one = {"y": np.float32([[0.3]])}
    found = answered("scores", {"y": one["y"][0]}, Scores().for_page(one, SIGNATURE))
    assert found["title"] == "no"
    assert found["bars"][0]["share"] == pytest.approx(0.3)
