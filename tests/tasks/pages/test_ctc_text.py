"""The page writes the text that the task writes."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.contract import Signature
from edgepipe.tasks.ctc_text import CtcText, _texts
from tests.tasks.pages.node import NODE, answered

pytestmark = pytest.mark.skipif(NODE is not None, reason=str(NODE))
SIGNATURE = Signature(input_shape=(3, 8, 8))
SYMBOLS = ("a", "b", "ß", "語", "|")


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("how", [{}, {"space": "|"}, {"space": "|", "ignore_space": True}, {"blank": -1}])
@pytest.mark.parametrize("more", [1, 2])
def test_the_page_writes_as_the_task_does(how: dict, turned: bool, more: int) -> None:
    scores = np.random.default_rng(more).standard_normal((1, 60, len(SYMBOLS) + more)).astype(np.float32)
    scores = scores.transpose(0, 2, 1) if turned else scores
    task = CtcText(alphabet=SYMBOLS, **how)
    wanted = _texts(task.answers({"y": scores}, SIGNATURE, "it"))[0]
    settings = task.for_page({"y": scores}, SIGNATURE)
    assert settings["turned"] is turned
    assert answered("ctc_text", {"y": scores[0]}, settings)["text"] == wanted
    assert len(wanted) > 10


def test_nothing_read_is_said() -> None:
    settings = {"table": ["", "a"], "turned": False, "space": None, "ignore_space": False}
    assert answered("ctc_text", {"y": np.float32([[1, 0], [1, 0]])}, settings)["text"] == "(no text)"
