"""Boxes of classes in pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from edgepipe.contract import Answers, ByClass, Figure, Measure, Moves, Signature, Targets, Task, Tensor
from edgepipe.errors import DataError, MeasureError
from edgepipe.tasks.bootstrap import interval
from edgepipe.tasks.detection.evaluator import check_installed, evaluated
from edgepipe.tasks.detection.findings import counted, near_zero, numbering
from edgepipe.tasks.detection.heads import HEADS, About, Choice, Unfit, chosen, read, recognized
from edgepipe.tasks.detection.loss import with_size, yolox_loss
from edgepipe.tasks.detection.matching import THRESHOLDS, matched, mean_precision, overlaps
from edgepipe.tasks.drawing import with_boxes
from edgepipe.tasks.moving import moved_boxes

Head = Literal[
    "auto", "yolox", "yolov5", "yolov8", "end_to_end", "detr", "listed", "tensorflow_api", "ppyoloe", "picodet"
]
_COLUMNS = {"map": slice(0, len(THRESHOLDS)), "map50": slice(0, 1)}
_UNKNOWN = "any"


class Detection(Task):
    """Boxes of classes: mean average precision as COCO defines it; heads of the usual detectors are recognized."""

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "map",
            "mAP",
            "higher",
            "average precision, mean of the classes and of IoU 0.50 to 0.95; without labels, of the boxes that the "
            "baseline shows",
            unit="share",
            worse_by=0.015,
        ),
        Measure("map50", "mAP50", "higher", "average precision at IoU 0.50, mean of the classes", unit="share"),
    )

    trains: ClassVar[bool] = True
    program: ClassVar[str] = "edgepipe.tasks.detection.heads"
    page: ClassVar[str] = "edgepipe.tasks/pages/detection.mjs"

    head: Head = Field("auto", description="layout of the outputs; auto: found by their names and shapes")
    outputs: tuple[str, ...] | None = Field(None, description="names of those that the head reads; null: all")
    score: float = Field(0.01, ge=0, lt=1, description="score from which a box counts for mAP")
    iou: float = Field(
        0.65,
        gt=0,
        le=1,
        description="overlap above which the worse of two boxes of a class goes, unless a graph does it",
    )
    max_boxes: int = Field(100, ge=1, le=1000, description="boxes of a picture, best first; COCO's figure takes 100")
    scores: Literal["auto", "probabilities", "logits", "softmax"] = Field(
        "auto", description="what the model gives; auto: probabilities where all of a batch lie in [0, 1]"
    )
    strides: tuple[int, ...] = Field((), description="pixels per cell of each map; empty: the usual ones that fit")
    anchors: tuple[tuple[float, ...], ...] = Field(
        (), description="yolov5, raw maps: width, height, … in pixels, a list for each stride; empty: those for COCO"
    )
    first_class: int | None = Field(
        None, ge=-1000, le=1000, description="the model's number of the first class; null: as its head counts, 0 or 1"
    )
    labels: tuple[int, ...] = Field(
        (), description="the model's number of each class of the data, in their order; empty: from first_class on"
    )
    shown: float = Field(
        0.3, gt=0, lt=1, description="score from which a box is shown, stands for a label, and must be answered alike"
    )
    alike_score: float = Field(0.1, gt=0, le=1, description="how far scores of boxes that are alike may lie apart")

    @field_validator("strides")
    @classmethod
    def _whole_cells(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 1 <= stride <= 1024 for stride in value) or len(set(value)) != len(value):
            raise ValueError(f"strides are different numbers from 1 to 1024, as 8, 16, 32; found {list(value)}")
        return value

    @field_validator("anchors")
    @classmethod
    def _three_each(cls, value: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        if any(len(each) != 6 or min(each) <= 0 for each in value):
            raise ValueError("of each stride three anchors are wanted, width and height each: six numbers above 0")
        return value

    @field_validator("labels")
    @classmethod
    def _different(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value) or any(not 0 <= each < 100_000 for each in value):
            raise ValueError("labels are different numbers from 0 on, one for each class of the data")
        return value

    def misfit(self, outputs: Sequence[Tensor]) -> str | None:
        shapes = {item.name: _shape_of(item) for item in outputs}
        if self.outputs is not None and (lacking := [name for name in self.outputs if name not in shapes]):
            return f"it has no output '{lacking[0]}' (task.outputs), only {', '.join(shapes)}"
        free = any(axis == _UNKNOWN for item in outputs for axis in item.shape)
        named = {name: shapes[name] for name in self.outputs or shapes}
        if free or any(head.fits(named, About((0, 0))) for head in HEADS.values()) or self.head == "picodet":
            return None
        shown = ", ".join(f"{item.name} {item.dtype} {list(item.shape)}" for item in outputs)
        return f"its outputs ({shown} for each example) are of no detector's head that is known"

    def targets(self, raw: NDArray[Any], signature: Signature) -> Targets:
        """`truth`: float32, (n, most, 6): x1, y1, x2, y2 in pixels of the input, class, ignored; class -1: no box."""
        check_installed()
        labels = np.asarray(raw)
        if labels.dtype.kind not in "fiu" or labels.ndim != 3 or labels.shape[2] != 6:
            raise DataError(
                "task: detection needs boxes, (examples, boxes, 6) as x1, y1, x2, y2, class, ignored; found "
                f"{labels.dtype} of shape {labels.shape}. data=coco, data=voc and data=yolo read pictures with boxes"
            )
        if not np.isfinite(labels).all():
            raise DataError("task: boxes hold NaN or infinity")
        if self.labels and signature.classes and len(self.labels) != len(signature.classes):
            raise DataError(
                f"task.labels: {len(self.labels)} numbers, and the data has {len(signature.classes)} classes: give the "
                "model's number of each"
            )
        return {"truth": labels.astype(np.float32)}

    def answers(self, outputs: Mapping[str, NDArray[Any]], signature: Signature, what: str) -> Answers:
        """`boxes`: float32, (n, max_boxes, 6): x1, y1, x2, y2, class, score, best first; class -1: no box."""
        check_installed()
        given = self._given(outputs, what)
        for name, values in given.items():
            if values.dtype.kind == "f" and np.isnan(values).any():
                raise MeasureError(f"{what}: NaN in its output '{name}' on the evaluation examples: the step lost it")
        try:
            head, given = self._head(given, signature)
            found = read(head, given, self._about(signature))
        except Unfit as error:
            raise MeasureError(f"{what}: task.head={self.head}: {error}") from error
        return {"boxes": chosen(found, self._choice())}

    def for_program(self, outputs: Mapping[str, NDArray[Any]], signature: Signature) -> dict[str, Any]:
        """The head by its name, and all that chooses boxes; of those it shows alone."""
        head, given = self._head(self._given(outputs, "the model"), signature)
        how = {**self._about(signature)._asdict(), **self._choice()._asdict(), "score": self.shown}
        found: dict[str, Any] = json.loads(json.dumps({"head": head, "outputs": list(given), **how}))
        return found

    def for_page(self, outputs: Mapping[str, NDArray[Any]], signature: Signature) -> dict[str, Any]:
        """As for `program`."""
        return self.for_program(outputs, signature)

    def loss(self, outputs: Any, targets: Any) -> Any:
        """That of YOLOX, of a raw head of one place a cell, as model=small model.name=detector has it."""
        return yolox_loss(outputs, targets)

    def encoded(self, raw: NDArray[Any], signature: Signature) -> NDArray[Any]:
        return with_size(raw, _size(signature))

    def moved(self, targets: Any, moves: Moves) -> Any:
        return moved_boxes(targets, moves)

    def _given(self, outputs: Mapping[str, NDArray[Any]], what: str) -> dict[str, NDArray[Any]]:
        arrays = {name: np.asarray(value) for name, value in outputs.items()}
        if self.outputs is None:
            return arrays
        lacking = [name for name in self.outputs if name not in arrays]
        if lacking:
            raise MeasureError(f"{what}: task.outputs: it has no output '{lacking[0]}', only {', '.join(arrays)}")
        return {name: arrays[name] for name in self.outputs}

    def _head(self, outputs: dict[str, NDArray[Any]], signature: Signature) -> tuple[str, dict[str, NDArray[Any]]]:
        """The head and the outputs that it reads: maps beside a decoded output are left out where all fit no head.

        Raises:
            Unfit: none, or several.
        """
        about = self._about(signature)
        tables = {name: value for name, value in outputs.items() if value.ndim < 5}
        if self.head != "auto":
            whole = HEADS[self.head].fits(outputs, about) or len(tables) in (0, len(outputs))
            return self.head, outputs if whole else tables
        try:
            return recognized(outputs, about), outputs
        except Unfit:
            if len(tables) in (0, len(outputs)):
                raise
            return recognized(tables, about), tables

    def _about(self, signature: Signature) -> About:
        return About(_size(signature), len(signature.classes), self.strides, self.anchors, self.scores)

    def _choice(self) -> Choice:
        return Choice(self.score, self.iou, self.max_boxes, self.labels, self.first_class)

    def alternatives(self, answers: Answers, targets: Targets) -> Sequence[tuple[str, Task]]:
        """Another order of the model's classes, where its boxes say one; numbers from 0, and from 1."""
        found = None if self.labels else numbering(answers["boxes"], targets["truth"], self.shown)
        if found is None:
            return ()
        firsts = (0, 1) if self.first_class is None else (self.first_class,)
        orders = [tuple(number + first for number in found) for first in firsts]
        return [(f"the model's numbers {list(order)}", self.model_copy(update={"labels": order})) for order in orders]

    def possible(self, answers: Answers, count: int) -> bool:
        boxes = answers.get("boxes")
        return (
            answers.keys() == {"boxes"}
            and boxes is not None
            and boxes.dtype == np.float32
            and boxes.shape == (count, self.max_boxes, 6)
            and bool(np.isfinite(boxes).all())
        )

    def targets_of(self, baseline: Answers) -> Targets | None:
        """The boxes that the baseline shows."""
        boxes = baseline["boxes"]
        truth = boxes.copy()
        truth[..., 4] = np.where(boxes[..., 5] >= self.shown, boxes[..., 4], -1)
        truth[..., 5] = 0
        return {"truth": truth}

    def measured(self, answers: Answers, targets: Targets) -> dict[str, Figure]:
        boxes, truth = _same_length(answers["boxes"], targets["truth"])
        found, classes = evaluated(boxes, truth), matched(boxes, truth)

        def of(columns: slice) -> Any:
            return lambda weights: mean_precision(classes, weights, columns)

        values = {"map": found.mean, "map50": found.half}
        return {name: _figure(value, of(_COLUMNS[name]), len(truth)) for name, value in values.items()}

    def compared(self, answers: Answers, baseline: Answers, targets: Targets) -> dict[str, Figure]:
        """Both answer the same drawn pictures, so the interval of the difference is narrower than that of either."""
        truth = targets["truth"]
        now, then = (_same_length(each["boxes"], truth)[0] for each in (answers, baseline))
        values = [evaluated(each, truth) for each in (now, then)]
        classes = [matched(each, truth) for each in (now, then)]
        found = {}
        for name, part in (("map", "mean"), ("map50", "half")):
            after, before = (getattr(each, part) for each in values)

            def worse(weights: NDArray[np.float64], columns: slice = _COLUMNS[name]) -> NDArray[np.float64]:
                one, other = (mean_precision(each, weights, columns) for each in classes)
                return other - one

            found[name] = _figure(None if after is None or before is None else before - after, worse, len(truth))
        return found

    def by_class(self, answers: Answers, targets: Targets, signature: Signature) -> ByClass:
        found = evaluated(answers["boxes"], targets["truth"]).by_class
        names = {number: _name(number, signature) for number in found}
        return {
            "AP": {names[number]: values[0] for number, values in found.items()},
            "AP50": {names[number]: values[1] for number, values in found.items()},
        }

    def check_labels(self, outputs: Mapping[str, NDArray[Any]], targets: Targets, what: str) -> None:
        """Nothing is refused: classes that a model does not know are never found, which the table of classes shows."""

    def alike(self, answers: Answers, baseline: Answers) -> NDArray[np.bool_]:
        """Where every shown box of either has one in the other of its class, at IoU 0.9, and of nearly its score."""
        one, other = _same_length(answers["boxes"], baseline["boxes"])
        return np.array([self._in(a, b) and self._in(b, a) for a, b in zip(one, other, strict=True)], np.bool_)

    def _in(self, mine: NDArray[np.float32], theirs: NDArray[np.float32]) -> bool:
        mine = mine[(mine[:, 4] >= 0) & (mine[:, 5] >= self.shown)]
        theirs = theirs[theirs[:, 4] >= 0]
        if not len(mine):
            return True
        near = overlaps(mine[:, :4], theirs[:, :4]) >= 0.9
        near &= mine[:, None, 4] == theirs[None, :, 4]
        near &= np.abs(mine[:, None, 5] - theirs[None, :, 5]) <= self.alike_score
        for row in near:  # best first; each box stands for one
            if not row.any():
                return False
            near[:, int(row.argmax())] = False
        return True

    def lost(self, answers: Answers, baseline: Answers, targets: Targets) -> NDArray[np.int64]:
        """Pictures with a labelled box that the baseline shows and these answers do not."""
        rows = zip(answers["boxes"], baseline["boxes"], targets["truth"], strict=True)
        fewer = [(self._hit(then, truth) & ~self._hit(now, truth)).any() for now, then, truth in rows]
        return np.flatnonzero(np.array(fewer, np.bool_))

    def _hit(self, boxes: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Of each labelled box, whether one of its class is shown there."""
        there = truth[(truth[:, 4] >= 0) & (truth[:, 5] == 0)]
        seen = boxes[(boxes[:, 4] >= 0) & (boxes[:, 5] >= self.shown)]
        if not len(seen):
            return np.zeros(len(there), np.bool_)
        near = (overlaps(there[:, :4], seen[:, :4]) >= 0.5) & (there[:, None, 4] == seen[None, :, 4])
        return np.asarray(near.any(axis=1))

    def say(self, values: Mapping[str, NDArray[Any]], index: int, signature: Signature) -> str:
        """How many boxes of each class."""
        if "truth" in values:
            return counted(values["truth"][index], signature)
        boxes = values["boxes"][index]
        return counted(boxes[boxes[:, 5] >= self.shown], signature)

    def show(
        self, picture: NDArray[np.uint8], values: Mapping[str, NDArray[Any]], index: int, signature: Signature
    ) -> NDArray[np.uint8]:
        """The boxes that are shown, or the labelled ones."""
        rows = values["truth" if "truth" in values else "boxes"][index]
        kept = rows[:, 4] >= 0
        if "truth" not in values:
            kept &= rows[:, 5] >= self.shown
        return with_boxes(picture, rows[kept], signature.classes)

    def notes(
        self, answers: Answers, baseline: Answers | None, targets: Targets | None, signature: Signature
    ) -> list[str]:
        """Of a model that finds nearly nothing of what is labelled, with what to check."""
        if targets is None:
            return []
        truth = targets["truth"]
        if baseline is not None and near_zero(baseline["boxes"], truth, self.shown, signature, True) is not None:
            return []  # which was said of the baseline
        found = near_zero(answers["boxes"], truth, self.shown, signature, baseline is None)
        return [] if found is None else [found]


def _figure(value: float | None, of: Any, count: int) -> Figure:
    if value is None:
        return Figure(None)
    ci95 = interval(of, count)
    # Of few pictures most draws may lie on one side of what all of them give.
    return Figure(value, None if ci95 is None else (min(ci95[0], value), max(ci95[1], value)))


def _size(signature: Signature) -> tuple[int, int]:
    """(height, width) of the pictures that go in."""
    recorded = signature.preprocessing.image_size
    if recorded is not None:
        return recorded
    axes = [axis for item in signature.inputs for axis in item.shape if len(item.shape) == 3]
    if len(axes) == 3 and all(isinstance(axis, int) for axis in axes):
        sizes = [int(axis) for axis in axes]
        return (sizes[0], sizes[1]) if sizes[2] in (1, 3) and sizes[0] not in (1, 3) else (sizes[1], sizes[2])
    raise MeasureError(
        "task: detection needs to know the size of the pictures that go in: give data=coco, voc, yolo or image_folder"
    )


def _shape_of(tensor: Tensor) -> Any:
    """As an array of it, of which heads ask the shape and the type alone."""
    shape = (1, *(axis if isinstance(axis, int) else -1 for axis in tensor.shape))
    return SimpleNamespace(shape=shape, dtype=np.dtype(tensor.dtype), ndim=len(shape), size=math.prod(shape))


def _same_length(one: NDArray[Any], other: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if len(one) != len(other):
        raise MeasureError(f"predictions on {len(one)} and {len(other)} examples cannot be compared")
    return one, other


def _name(number: int, signature: Signature) -> str:
    return signature.classes[number] if number < len(signature.classes) else str(number)
