"""The page's bars are the shares of the best classes."""

from __future__ import annotations

import numpy as np
import pytest

from edgepipe.contract import Signature
from edgepipe.tasks.classification import Classification
from tests.tasks.pages.node import NODE, answered

pytestmark = pytest.mark.skipif(NODE is not None, reason=str(NODE))
SIGNATURE = Signature(input_shape=(4,))


@pytest.mark.parametrize("softmax", [False, True])
def test_logits_become_shares_and_shares_stay(softmax: bool) -> None:
    logits = np.random.default_rng(0).standard_normal((2, 7)).astype(np.float32)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    outputs = shares if softmax else logits
    settings = Classification().for_page({"y": outputs}, SIGNATURE)
    assert settings == {"probabilities": softmax}
    found = answered("classification", {"y": outputs[0]}, settings, classes=[f"c{i}" for i in range(6)])
    best = np.argsort(-shares[0])[:5]
    assert [bar["label"] for bar in found["bars"]] == [f"c{i}" if i < 6 else "class 6" for i in best]
    assert np.allclose([bar["share"] for bar in found["bars"]], shares[0][best], atol=1e-6)
    assert found["title"] == found["bars"][0]["label"]


def test_a_class_that_the_model_answers_itself_is_named() -> None:
    assert answered("classification", {"y": np.array(2)}, {}, classes=["a", "b", "c"])["title"] == "c"
