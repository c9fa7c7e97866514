"""A class for every pixel of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgepipe.contract import Answers, ByClass, Figure, Measure, Moves, Signature, Targets, Task, Tensor
from edgepipe.errors import DataError, MeasureError
from edgepipe.tasks.bootstrap import interval
from edgepipe.tasks.drawing import with_mask
from edgepipe.tasks.maps import class_axis, named_output, resized_bilinear, resized_nearest
from edgepipe.tasks.moving import moved_pixels

_MOST_CLASSES = 1 << 16
_SAID = 3
_AUXILIARY = 0.5
"""Weight of a second output while training, as in torchvision's reference and Zhao et al., CVPR 2017 (0.4)."""
_LOST = 0.01
"""Share of a picture's pixels that must have become wrong for the report to show it."""


class Segmentation(Task):
    """A class for every pixel: the best-scored of class maps, a threshold on one map, or classes as the model says.

    Class maps smaller than the input, as networks of an output stride of 4 to 32 give, are enlarged bilinearly
    (`align_corners=False`) to the size of the network's input before the best one is taken, as is usual. Where labels
    have yet another size, the classes are brought to it by their nearest neighbour.

    IoU of a class is over the pixels of all pictures: intersection over union of where it is answered and where it
    is. The mean is of the classes that the labels have. Intervals draw pictures again.
    Source: Everingham et al., The PASCAL VOC Challenge: A Retrospective, IJCV 111 (2015), section 4.2.
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "miou",
            "mIoU",
            "higher",
            "intersection over union of each class over all pictures, mean of the classes that occur",
            unit="share",
        ),
        Measure(
            "pixel_accuracy", "pixels right", "higher", "share of the labelled pixels of the right class", unit="share"
        ),
    )
    trains: ClassVar[bool] = True
    covers: ClassVar[bool] = True
    page: ClassVar[str] = "edgepipe.tasks/pages/segmentation.mjs"

    ignore_index: int = Field(255, ge=-1, le=65535, description="class of pixels that are not judged; -1: of none")
    output: str | None = Field(None, description="name of the output with the class maps; null: the first")
    layout: Literal["auto", "channels_first", "channels_last"] = Field(
        "auto", description="where the classes are; auto: the axis that leaves the picture its proportions"
    )
    scores: Literal["auto", "probabilities", "logits"] = Field(
        "auto", description="what a single map gives; auto: probabilities where all of a batch lie in [0, 1]"
    )
    threshold: float = Field(0.5, gt=0, lt=1, description="probability from which a single map says class 1")
    alike_share: float = Field(
        0.99, gt=0, le=1, description="share of a picture's pixels that must agree for it to be answered alike"
    )

    def misfit(self, outputs: Sequence[Tensor]) -> str | None:
        if self.output is not None and self.output not in [item.name for item in outputs]:
            return f"it has no output '{self.output}' (task.output), only {', '.join(item.name for item in outputs)}"
        chosen = next((item for item in outputs if item.name == self.output), outputs[0])
        if len(chosen.shape) in (2, 3) and chosen.dtype.startswith(("float", "int", "uint", "bool")):
            return None
        which = "its first output" if self.output is None else f"its output '{self.output}'"
        return f"{which} is {chosen.dtype} {list(chosen.shape)} for each example, no maps of classes"

    def targets(self, raw: NDArray[Any], signature: Signature) -> Targets:
        """`masks`: uint8 or int32, (n, height, width)."""
        masks = np.asarray(raw)
        if masks.dtype.kind not in "iu" or masks.ndim != 3:
            raise DataError(
                "task: segmentation needs masks, a whole number for each pixel, (examples, height, width); found "
                f"{masks.dtype} of shape {masks.shape}. data=mask_folder reads pictures with masks"
            )
        return {"masks": masks if masks.dtype == np.uint8 else masks.astype(np.int32)}

    def answers(self, outputs: Mapping[str, NDArray[Any]], signature: Signature, what: str) -> Answers:
        """`masks`: uint8 (int32 for more than 256 classes), (n, height, width), a class for each pixel."""
        maps = named_output(outputs, self.output, what)
        if maps.dtype.kind in "iub" and maps.ndim > 2:
            return {"masks": _as_small(_one_map(maps, what))}
        if maps.dtype.kind != "f" or maps.ndim not in (3, 4):
            raise MeasureError(
                f"{what}: its output for segmentation is {maps.dtype} {tuple(maps.shape)}; expected scores (examples, "
                "classes, height, width) or classes (examples, height, width). Set task.output to another's name, or "
                "task=agreement"
            )
        if not np.isfinite(maps).all():
            raise MeasureError(f"{what}: NaN or infinite scores on the evaluation examples: the step lost the model")
        size = _input_size(signature)
        if maps.ndim == 4:
            maps = np.moveaxis(maps, class_axis(maps.shape, self.layout, size, len(signature.classes)), 1)
        else:
            maps = maps[:, None]
        size = size or maps.shape[2:]
        found = np.empty((len(maps), *size), np.int32)
        cut = self._cut(maps) if maps.shape[1] == 1 else 0.0
        for row, scores in enumerate(maps):  # picture by picture: enlarged maps of a whole batch would take gigabytes
            large = resized_bilinear(scores.astype(np.float32), size)
            found[row] = large[0] >= cut if len(large) == 1 else large.argmax(axis=0)
        return {"masks": found.astype(np.uint8) if maps.shape[1] <= 256 else found}

    def for_page(self, outputs: Mapping[str, NDArray[Any]], signature: Signature) -> dict[str, Any]:
        """`classes`: whether the model says them itself; else where they are, and from which score one map says 1."""
        maps, size = named_output(outputs, self.output, "the model"), _input_size(signature)
        whole_numbers = maps.dtype.kind in "iub"
        found: dict[str, Any] = {"output": self.output, "classes": whole_numbers, "size": size and list(size)}
        if maps.dtype.kind == "f":
            whole = maps.ndim == 4
            found["last"] = whole and class_axis(maps.shape, self.layout, size, len(signature.classes)) == 3
            found["cut"] = self._cut(maps)
        return found

    def _cut(self, maps: NDArray[Any]) -> float:
        """The score from which a pixel of a single map is of class 1."""
        probable = self.scores == "probabilities" or (self.scores == "auto" and bool(((maps >= 0) & (maps <= 1)).all()))
        return self.threshold if probable else float(np.log(self.threshold / (1 - self.threshold)))

    def check_labels(self, outputs: Mapping[str, NDArray[Any]], targets: Targets, what: str) -> None:
        maps = named_output(outputs, self.output, what)
        masks = targets["masks"]
        judged = masks[masks != self.ignore_index]
        if maps.dtype.kind != "f" or not judged.size:
            return
        shape = (len(maps), 1, *maps.shape[1:]) if maps.ndim == 3 else maps.shape
        channels = shape[class_axis(shape, self.layout, masks.shape[1:], 0)] if maps.ndim == 4 else 1
        classes = max(2, channels)
        if int(judged.min()) < 0 or int(judged.max()) >= classes:
            wrong = int(judged.min()) if int(judged.min()) < 0 else int(judged.max())
            raise DataError(
                f"the evaluation masks have a class {wrong}, but {what} tells {classes} classes apart, 0 to "
                f"{classes - 1}. Name the class that is not judged (task.ignore_index), correct the masks "
                "(data.classes maps their values), or choose a model with as many classes"
            )

    def possible(self, answers: Answers, count: int) -> bool:
        masks = answers.get("masks")
        return (
            answers.keys() == {"masks"}
            and masks is not None
            and masks.dtype.kind in "iu"
            and masks.ndim == 3
            and len(masks) == count
            and (not masks.size or 0 <= int(masks.min()) <= int(masks.max()) < _MOST_CLASSES)
        )

    def targets_of(self, baseline: Answers) -> Targets | None:
        return dict(baseline)

    def measured(self, answers: Answers, targets: Targets) -> dict[str, Figure]:
        counts = self._counts(answers, targets)
        return {
            "miou": _figure(lambda weights: _mean_iou(counts, weights), len(counts)),
            "pixel_accuracy": _figure(lambda weights: _accuracy(counts, weights), len(counts)),
        }

    def compared(self, answers: Answers, baseline: Answers, targets: Targets) -> dict[str, Figure]:
        """Both models answer the same drawn pictures, so the interval of the difference is narrower than of either."""
        classes = max(_classes(each["masks"]) for each in (answers, baseline))
        now, then = (self._counts(each, targets, classes) for each in (answers, baseline))
        found = {}
        for name, figure in (("miou", _mean_iou), ("pixel_accuracy", _accuracy)):
            found[name] = _figure(lambda weights, figure=figure: figure(then, weights) - figure(now, weights), len(now))
        return found

    def by_class(self, answers: Answers, targets: Targets, signature: Signature) -> ByClass:
        counts = self._counts(answers, targets).sum(axis=0)
        present = np.flatnonzero(counts[2])
        names = signature.classes
        iou = _iou(counts)
        return {"IoU": {names[i] if i < len(names) else str(i): float(iou[i]) for i in present.tolist()}}

    def _counts(self, answers: Answers, targets: Targets, least: int = 0) -> NDArray[np.int64]:
        """(n, 3, classes): pixels of each picture that are both, answered, labelled as each class."""
        masks, labels = answers["masks"], targets["masks"]
        if len(masks) != len(labels):
            raise MeasureError(f"predictions on {len(masks)} and {len(labels)} pictures cannot be compared")
        judged = np.where(labels == self.ignore_index, 0, labels)
        classes = max(_classes(masks), _classes(judged), least)
        counts = np.zeros((len(masks), 3, classes), np.int64)
        for row, label in enumerate(labels):
            kept = label != self.ignore_index
            said, there = resized_nearest(masks[row], label.shape)[kept], label[kept]
            counts[row] = [
                np.bincount(values, minlength=classes)[:classes] for values in (there[said == there], said, there)
            ]
        return counts

    def alike(self, answers: Answers, baseline: Answers) -> NDArray[np.bool_]:
        """Where at least `alike_share` of the pixels are of the same class."""
        return self._agreement(answers, baseline) >= self.alike_share

    def _agreement(self, answers: Answers, baseline: Answers) -> NDArray[np.float64]:
        one, other = answers["masks"], baseline["masks"]
        if len(one) != len(other):
            raise MeasureError(f"predictions on {len(one)} and {len(other)} examples cannot be compared")
        return np.array(
            [np.mean(resized_nearest(a, b.shape) == b) for a, b in zip(one, other, strict=True)], np.float64
        )

    def lost(self, answers: Answers, baseline: Answers, targets: Targets) -> NDArray[np.int64]:
        """Pictures of which at least 1% more of the pixels are wrong."""
        now, then = (self._counts(each, targets) for each in (answers, baseline))
        total = np.maximum(now[:, 2].sum(axis=1), 1)
        return np.flatnonzero((then[:, 0].sum(axis=1) - now[:, 0].sum(axis=1)) / total >= _LOST)

    def say(self, values: Mapping[str, NDArray[Any]], index: int, signature: Signature) -> str:
        """The largest classes with their shares of the picture."""
        mask = values["masks"][index]
        found, counts = np.unique(mask[mask != self.ignore_index], return_counts=True)
        total, names = max(1, int(counts.sum())), signature.classes
        largest = np.argsort(-counts, kind="stable")[:_SAID].tolist()
        said = [
            f"{names[found[i]] if 0 <= found[i] < len(names) else found[i]} {counts[i] / total:.1%}" for i in largest
        ]
        return ", ".join(said) or "nothing judged"

    def show(
        self, picture: NDArray[np.uint8], values: Mapping[str, NDArray[Any]], index: int, signature: Signature
    ) -> NDArray[np.uint8]:
        """The mask over the picture."""
        return with_mask(picture, values["masks"][index], self.ignore_index)

    def notes(
        self, answers: Answers, baseline: Answers | None, targets: Targets | None, signature: Signature
    ) -> list[str]:
        """Of a model that sees one class everywhere, where the labels or the baseline have several."""
        masks = answers["masks"]
        others = [other["masks"] for other in (targets, baseline) if other is not None]
        if not masks.size or int(masks.min()) != int(masks.max()):
            return []
        if not any(len(np.unique(other[other != self.ignore_index])) > 1 for other in others):
            return []
        number, names = int(masks.flat[0]), signature.classes
        remedy = (
            "Check that its input has the range, the layout and the order of channels that it was made for"
            if baseline is None
            else "The baseline does: this step lost the model"
        )
        return [
            f"every pixel of all {len(masks)} pictures is answered as one class, "
            f"{(names[number] if number < len(names) else str(number))!r}: the model tells nothing apart. {remedy}"
        ]

    def moved(self, targets: Any, moves: Moves) -> Any:
        return moved_pixels(targets, moves)

    def loss(self, outputs: Any, targets: Any) -> Any:
        """Mean cross-entropy of the pixels that are judged.

        Args:
            outputs: float logits, (n, classes, h, w), enlarged bilinearly to the masks; or several, of which the first
                counts fully and the second, an auxiliary head, half; or one map, (n, 1, h, w), for which it is binary.
            targets: integers, (n, height, width).
        """
        import torch
        from torch.nn import functional

        heads = list(outputs.values()) if isinstance(outputs, dict) else outputs
        heads = [heads] if isinstance(heads, torch.Tensor) else list(heads)[:2]
        masks = targets.long()
        kept = masks != self.ignore_index
        total = None
        for weight, maps in zip((1.0, _AUXILIARY), heads, strict=False):
            maps = maps.float()
            if maps.shape[2:] != masks.shape[1:]:
                maps = functional.interpolate(maps, masks.shape[1:], mode="bilinear", align_corners=False)
            if maps.shape[1] == 1:
                each = functional.binary_cross_entropy_with_logits(maps[:, 0], (masks * kept).float(), reduction="none")
            else:
                each = functional.cross_entropy(maps, masks * kept, reduction="none")
            # A batch of which nothing is judged has a loss of 0, not of 0 / 0.
            part = weight * (each * kept).sum() / kept.sum().clamp(min=1)
            total = part if total is None else total + part
        return total


def _input_size(signature: Signature) -> tuple[int, int] | None:
    """(height, width) of the pictures that go in; None: several inputs, or no picture."""
    recorded = signature.preprocessing.image_size
    if recorded is not None:
        return recorded
    if len(signature.inputs) != 1 or len(signature.inputs[0].shape) != 3 or not signature.inputs[0].fixed:
        return None
    height, width = signature.inputs[0].shape[1:]
    return int(height), int(width)


def _one_map(maps: NDArray[Any], what: str) -> NDArray[Any]:
    """(n, height, width) of classes that a model answers itself, whatever axis of one lies beside."""
    if maps.ndim == 4 and 1 in (maps.shape[1], maps.shape[3]):
        maps = maps[:, 0] if maps.shape[1] == 1 else maps[..., 0]
    if maps.ndim != 3:
        raise MeasureError(
            f"{what}: its output for segmentation holds whole numbers of shape {tuple(maps.shape)}; expected a class "
            "for each pixel, (examples, height, width)"
        )
    return maps


def _as_small(masks: NDArray[Any]) -> NDArray[Any]:
    masks = masks.astype(np.int64)
    return masks.astype(np.uint8 if masks.size and masks.min() >= 0 and masks.max() < 256 else np.int32)


def _classes(masks: NDArray[Any]) -> int:
    return int(masks.max(initial=0)) + 1


def _iou(counts: NDArray[Any]) -> NDArray[np.float64]:
    """(..., classes) of (..., 3, classes) pixels that are both, answered, labelled."""
    both, said, there = (counts[..., part, :].astype(np.float64) for part in range(3))
    return np.asarray(both / np.maximum(said + there - both, 1))


def _mean_iou(counts: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    drawn = np.einsum("dn,nkc->dkc", weights, counts)
    present = drawn[:, 2] > 0
    total = np.where(present, _iou(drawn), 0).sum(axis=1)
    return np.where(present.any(axis=1), total / np.maximum(present.sum(axis=1), 1), np.nan)


def _accuracy(counts: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    both, there = (weights @ counts[:, part].sum(axis=1).astype(np.float64) for part in (0, 2))
    return np.where(there > 0, both / np.maximum(there, 1), np.nan)


def _figure(figure: Any, n: int) -> Figure:
    value = float(figure(np.ones((1, n)))[0])
    if not np.isfinite(value):
        return Figure(None)
    return Figure(value, interval(figure, n))
