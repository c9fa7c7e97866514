"""The page names the classes that the task finds, and the next best."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.contract import Signature
from edgepipe.tasks.multilabel import Multilabel
from tests.tasks.pages.node import NODE, answered

pytestmark = pytest.mark.skipif(NODE is not None, reason=str(NODE))
SIGNATURE = Signature(input_shape=(4,), classes=("a", "b", "c", "d", "e", "f"))


@pytest.mark.parametrize("probable", [False, True])
def test_classes_from_the_threshold_on_and_their_probabilities(probable: bool) -> None:
    logits = np.float32([[-3, 2, -1, 1, -0.5, 0.2]])
    shares = 1 / (1 + np.exp(-logits))
    outputs = {"y": shares if probable else logits}
    settings = Multilabel(threshold=0.7).for_page(outputs, SIGNATURE)
    found = answered("multilabel", {"y": outputs["y"][0]}, settings, classes=SIGNATURE.classes)
    assert found["title"] == "b, d"
    assert [bar["label"] for bar in found["bars"]] == ["b", "d", "f", "e", "c"]
    assert np.allclose([bar["share"] for bar in found["bars"]], np.sort(shares[0])[::-1][:5], atol=1e-6)
