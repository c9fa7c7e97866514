"""Layouts of detectors' outputs, one a file, each written from what the outputs are; of numpy alone.

Every bundle of a detector takes this folder along: what the device decodes is what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import detr, end_to_end, listed, picodet, ppyoloe, tensorflow_api, yolov5, yolov8, yolox
from .boxes import CANDIDATES, About, Floats, Found, Outputs, Unfit, suppress

HEADS: Mapping[str, Any] = {
    "yolox": yolox,
    "yolov5": yolov5,
    "yolov8": yolov8,
    "end_to_end": end_to_end,
    "detr": detr,
    "listed": listed,
    "tensorflow_api": tensorflow_api,
    "ppyoloe": ppyoloe,
    "picodet": picodet,
}


class Choice(NamedTuple):
    """How boxes are chosen.

    Attributes:
        score: of a box that stays, at least.
        iou: overlap above which the worse of two boxes of one class goes, where the network does not see to it.
        most: boxes of a picture, at most.
        labels: the model's number of each class of the data; empty: counted from `first`.
        first: the model's number of the first class; None: as the head counts.
    """

    score: float = 0.01
    iou: float = 0.65
    most: int = 100
    labels: tuple[int, ...] = ()
    first: int | None = None


def recognized(outputs: Outputs, about: About) -> str:
    """The head that outputs of these names and shapes are of.

    Raises:
        Unfit: none is, or several may be; says which there are.
    """
    found = [name for name, head in HEADS.items() if head.fits(outputs, about)]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(f"{name} {list(value.shape[1:])}" for name, value in outputs.items())
    height, width = about.size
    if found:
        raise Unfit(f"outputs {shown} of an input of {height}x{width} may be those of {', '.join(found)}: say which")
    known = "; ".join(f"{name}: {head.TITLE}" for name, head in HEADS.items())
    raise Unfit(f"outputs {shown} of an input of {height}x{width} are of no head that is known ({known})")


def read(head: str, outputs: Outputs, about: About) -> Found:
    """What a head reads.

    Raises:
        Unfit: the outputs are not of this head.
    """
    if not HEADS[head].fits(outputs, about):
        shown = ", ".join(f"{name} {list(value.shape[1:])}" for name, value in outputs.items())
        height, width = about.size
        raise Unfit(f"outputs {shown} of an input of {height}x{width} are not of {head}: {HEADS[head].TITLE}")
    found: Found = HEADS[head].decode(outputs, about)
    return found


def chosen(found: Found, how: Choice) -> Floats:
    """float32, (n, `how.most`, 6): x1, y1, x2, y2, class, score, best first; rows of class -1 fill up."""
    how = how._replace(first=found.first if how.first is None else how.first)
    rows = np.zeros((len(found.boxes), how.most, 6), np.float32)
    rows[..., 4] = -1
    for row, boxes in enumerate(found.boxes):
        labels = None if found.labels is None else found.labels[row]
        kept = _of_picture(boxes, found.scores[row], labels, found.suppressed, how)
        rows[row, : len(kept)] = kept
    return rows


def _of_picture(
    boxes: Floats,
    scores: Floats,
    labels: NDArray[np.int64] | None,
    suppressed: bool,
    how: Choice,
) -> Floats:
    """(k, 6), best first."""
    if labels is None:
        places, classes = np.nonzero(scores >= how.score)
        values = scores[places, classes]
        classes = classes.astype(np.int64)
    else:
        places = np.flatnonzero(scores >= how.score)
        values, classes = scores[places], labels[places]
    number = _numbers(classes, how)
    known = number >= 0
    places, values, number = places[known], values[known], number[known]
    best = np.argsort(-values, kind="stable")[:CANDIDATES]
    found, values, number = boxes[places[best]], values[best], number[best]
    whole = np.isfinite(found).all(1) & (found[:, 2:] > found[:, :2]).all(1)
    found, values, number = found[whole], values[whole], number[whole]
    kept: NDArray[Any] = np.arange(min(len(found), how.most))
    if not suppressed:
        kept = suppress(found, values, number, how.iou, how.most)
    table = np.concatenate([found[kept], number[kept, None].astype(np.float32), values[kept, None]], 1)
    return np.asarray(table, np.float32)


def _numbers(classes: NDArray[np.int64], how: Choice) -> NDArray[np.int64]:
    """The data's class of each of the model's; -1: it has none."""
    if not how.labels:
        return classes - (how.first or 0)
    numbers = np.full(max(max(how.labels), int(classes.max(initial=0))) + 1, -1, np.int64)
    numbers[list(how.labels)] = np.arange(len(how.labels))
    return np.where(classes >= 0, numbers[np.maximum(classes, 0)], -1)


def say(
    outputs: Outputs, settings: Mapping[str, Any], names: Sequence[str], at: Mapping[str, Sequence[int]] | None
) -> str:
    """`class score x1,y1,x2,y2` of each box of one example, best first.

    Args:
        outputs: by name, without the axis that counts examples.
        settings: the head and all fields of `About` and `Choice` by name; `outputs`: the names that the head reads.
        names: of the classes.
        at: `size`, (width, height) of the picture as it was, and `place`, (width, height, left, top) of it in the
            input: boxes are given in pixels of the picture; None: in those of the input.
    """
    about = About(**{key: _tuples(settings[key]) for key in About._fields})
    how = Choice(**{key: _tuples(settings[key]) for key in Choice._fields})
    given = {name: np.asarray(outputs[name])[None] for name in settings["outputs"]}
    rows = chosen(read(settings["head"], given, about), how)[0]
    rows = rows[rows[:, 4] >= 0]
    if at is not None:
        (width, height), (wide, high, left, top) = at["size"], at["place"]
        rows[:, :4] = (rows[:, :4] - [left, top] * 2) * ([width / wide, height / high] * 2)
        rows[:, :4] = rows[:, :4].clip(0, [width, height] * 2)
    said = []
    for x1, y1, x2, y2, number, score in rows.tolist():
        name = names[int(number)] if int(number) < len(names) else str(int(number))
        said.append(f"{name} {score:.2f} {x1:.0f},{y1:.0f},{x2:.0f},{y2:.0f}")
    return "; ".join(said) or "no box"


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


__all__ = ["HEADS", "About", "Choice", "Unfit", "chosen", "read", "recognized", "say"]
