"""The steps of examples, each with the state that the runs before it came to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepipe.contract import Batch, Signature, Split, Tensor
from edgepipe.onnx.sequences import SequenceSession
from edgepipe.onnx.session import Session
from edgepipe.onnx.unrolled import Unrolled
from tests.onnx import networks

X = np.random.default_rng(1).standard_normal((9, 5, 1, 4)).astype(np.float32)


class Sounds:
    signature = Signature(inputs=(Tensor(name="x", shape=(5, 1, 4)),), state={"h": "hn", "c": "cn"}, steps=5)

    def count(self, _split: Split) -> int:
        return len(X)

    def batches(self, _split, batch_size, indices=None):
        rows = range(len(X)) if indices is None else list(indices)
        yield from (Batch({"x": X[list(rows[i : i + batch_size])]}) for i in range(0, len(rows), batch_size))


@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_steps_come_with_their_state_in_the_order_that_is_asked_for(tmp_path: Path, batch: int | str) -> None:
    data = Unrolled(
        Sounds(), SequenceSession(networks.recurrent(tmp_path / "m.onnx", batch), {"h": "hn", "c": "cn"}, 5)
    )
    assert data.count(Split.CALIBRATION) == 45
    assert {item.name: item.shape for item in data.signature.inputs} == {"x": (1, 4), "h": (1, 3), "c": (1, 3)}
    found = list(data.batches(Split.CALIBRATION, 4))
    assert [len(part) for part in found] == [4] * 11 + [1]
    rows = {name: np.concatenate([part.inputs[name] for part in found]) for name in ("x", "h", "c")}
    np.testing.assert_array_equal(rows["x"], X.reshape(45, 1, 4))
    assert not rows["h"][::5].any()
    free = Session(networks.recurrent(tmp_path / "free.onnx"))
    after = free.run(free.placed(rows))
    np.testing.assert_allclose(np.moveaxis(after["hn"], 1, 0)[:4], rows["h"][1:5], atol=1e-6)
    some = next(data.batches(Split.CALIBRATION, 3, [2, 7, 44]))
    for name, value in some.inputs.items():
        np.testing.assert_allclose(value, rows[name][[2, 7, 44]], atol=1e-6)
