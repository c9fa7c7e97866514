"""How a head's test asks: the boxes of the scene come back, and the layout is recognized for what it is."""

from __future__ import annotations

import numpy as np

from edgepipe.tasks.detection.heads import About, Choice, chosen, read, recognized
from tests.tasks.detection.scenes import BOXES, CLASSES, SIZE
from tests.tasks.pages.node import NODE, PAGES, in_node, packed


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
    if NODE is None:
        _on_the_page(head, outputs, said, first)


def _on_the_page(head: str, outputs: dict[str, np.ndarray], said: About, first: int | None) -> None:
    """The page's module reads one example's outputs as `heads` does: all boxes down to low scores."""
    how = Choice(0.0015, 0.65, 40, (), first)
    settings = {"head": head, "outputs": list(outputs), **said._asdict(), **how._asdict()}
    rows = [{name: value[row] for name, value in outputs.items()} for row in range(len(BOXES))]
    script = "return given.rows.map((row) => page.chosen(arrays(row), given.settings));"
    given = {"rows": [packed(row) for row in rows], "settings": settings}
    for row, found in zip(rows, in_node(PAGES / "detection.mjs", script, given), strict=True):
        wanted = chosen(read(head, {name: value[None] for name, value in row.items()}, said), how)[0]
        wanted = wanted[wanted[:, 4] >= 0]
        assert len(found) == len(wanted)
        assert np.allclose(np.reshape(found, (-1, 6)), wanted, rtol=1e-5, atol=1e-4)
