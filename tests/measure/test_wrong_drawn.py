"""Of examples that became wrong the first are drawn, three ways, and small."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from edgepipe.contract import Batch, Preprocessing, Signature
from edgepipe.measure.wrong import wrong_answers
from edgepipe.tasks.detection.task import Detection
from edgepipe.tasks.drawing import colour

COUNT, SIZE = 8, (300, 400)


class Pictures:
    """Grey ones."""

    signature = Signature(
        input_shape=(1, *SIZE), preprocessing=Preprocessing(image_size=SIZE, channels=1, mean=(0.0,), std=(1.0,))
    )

    def batches(self, split: object, size: int, rows: Sequence[int]) -> Iterator[Batch]:
        del split, size
        yield Batch({"input": np.full((len(rows), 1, *SIZE), 0.5, np.float32)})


def test_the_first_six_are_drawn_with_what_is_right_the_baseline_and_the_step() -> None:
    truth = np.float32([[[40, 40, 200, 160, 0, 0]]] * COUNT)
    before = truth.copy()
    before[..., 5] = 0.9
    after = before.copy()
    after[..., 5] = 0.01
    found = wrong_answers(Detection(), {"boxes": after}, {"boxes": before}, {"truth": truth}, Pictures())  # type: ignore[arg-type]
    assert [item.answer_png is not None for item in found] == [True] * 6 + [False] * 2
    right, then, now = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(png or ""))))
        for png in (found[0].label_png, found[0].baseline_png, found[0].answer_png)
    )
    assert right.shape == (192, 256, 3)
    assert (right == then).all()
    assert (now == 128).all()
    assert np.abs(right[26, 80].astype(int) - colour(0)).max() < 60  # the upper side of the box, made smaller
