"""How a head's test asks: the boxes of the scene come back, and the layout is recognized for what it is."""

from __future__ import annotations

import numpy as np

from edgepipe.tasks.detection.heads import About, Choice, chosen, read, recognized
from tests.tasks.detection.scenes import BOXES, CLASSES, SIZE


def check(
    head: str, outputs: dict[str, np.ndarray], *, first: int | None = None, auto: bool = True, **about: object
) -> None:
    """What the scene's boxes become in a layout is read as these boxes."""
    outputs = {name: value if value.dtype.kind != "f" else value.astype(np.float32) for name, value in outputs.items()}
    said = About(SIZE, CLASSES)._replace(**about)
    if auto:
        assert recognized(outputs, said) == head
    found = chosen(read(head, outputs, said), Choice(0.1, 0.65, 2, (), first))
    assert np.allclose(found[..., 4:], BOXES[..., 4:], atol=2e-3)
    there = BOXES[..., 4] >= 0
    assert np.allclose(found[there], BOXES[there], atol=0.01)
